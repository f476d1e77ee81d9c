"""A frozen first convolution that whitens patches: its directions are initialised from training images.

Source: Jordan, "94% on CIFAR-10 in 3.29 seconds on a single GPU" (2024, arXiv:2404.00498). It has no bias here, since
training one would cost the gradient of the largest map.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

SMALLEST_VARIANCE = 5e-4  # added to each direction's variance, so that noise is not blown up


class Whitening(nn.Conv2d):
    """Images [N,C,H,W] to maps [N,K,H',W'] of patches; `padding` pixels of zeros are put around the images.

    Args:
        patch: the patches' side in pixels.
        stride: the distance of neighbouring patches in pixels.
        out_channels: an even number; None: twice as many as a patch has values.
    """

    def __init__(
        self, in_channels: int, *, padding: int = 0, patch: int = 2, stride: int = 1, out_channels: int | None = None
    ) -> None:
        num_filters = 2 * in_channels * patch * patch if out_channels is None else out_channels
        super().__init__(in_channels, num_filters, patch, stride=stride, padding=padding, bias=False)
        self.weight.requires_grad_(False)

    @torch.no_grad()
    def init_from_data(self, images: Float[Tensor, "n c h w"]) -> None:
        """Set the filters to the principal directions of the images' patches, scaled to equal variance, and to their
        negatives, so that no sign is lost in the activation after them.

        Where there are fewer filters, the directions of greatest variance are taken; where there are more, they repeat.
        """
        patch = self.kernel_size[0]
        on_cpu = images.cpu()  # Apple's GPUs have no float64
        patches = F.unfold(on_cpu, patch, stride=patch).transpose(1, 2).flatten(0, 1).double()
        variances, directions = torch.linalg.eigh(patches.T @ patches / len(patches))
        whitening = (directions / (variances + SMALLEST_VARIANCE).sqrt()).T.flip(0)
        chosen = torch.arange(self.out_channels // 2) % len(whitening)
        filters = whitening[chosen].view(-1, self.in_channels, patch, patch)
        self.weight.copy_(torch.cat([filters, -filters]))
