"""`sprint`, made to be trained in less than a minute on two cores: frozen whitening of 2x2 patches, plain 3x3 blocks.

194,464 parameters for ten classes of colour images, frozen ones included. Takes images of any size from 3 pixels up.
Source of the whitening and the plain blocks: Jordan, "94% on CIFAR-10 in 3.29 seconds on a single GPU" (2024,
arXiv:2404.00498). Here the first block strides, since a pool would leave it two thirds of all arithmetic, and the
whitening has no bias, since training one would cost the gradient of the largest map, and a ReLU after it, both faster
and better there than SiLU. Images [N,C,H,W] in, logits [N,K] out.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from thumbnet.models.blocks import check_images

PATCH = 2  # pixels a side
WIDTHS = (32, 64, 80, 104)  # of the three stages and of the last block
STATISTICS_MOMENTUM = 0.6  # the running statistics must follow a training of few steps
SMALLEST_VARIANCE = 5e-4  # added to each direction's variance, so that noise is not blown up


class SprintNet(nn.Module):
    """Whitened patches and six plain blocks: images of at least 3 pixels a side."""

    min_image_size = 3
    max_image_size: int | None = None

    def __init__(self, *, num_classes: int = 10, in_channels: int = 3) -> None:
        super().__init__()
        self.in_channels = in_channels
        num_directions = in_channels * PATCH * PATCH
        self.whiten = nn.Conv2d(in_channels, 2 * num_directions, PATCH, bias=False)
        self.whiten.weight.requires_grad_(False)
        small, middle, large, last = WIDTHS
        self.blocks = nn.Sequential(
            _Block(2 * num_directions, small, stride=2),
            _Block(small, small),
            _Block(small, middle, pools=True),
            _Block(middle, middle),
            _Block(middle, large, pools=True),
            _Block(large, last),
        )
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(last, num_classes, bias=False)

    @torch.no_grad()
    def learn_from_images(self, images: Float[Tensor, "n c h w"]) -> None:
        """Set the first filters to the principal directions of the images' patches, scaled to equal variance, and to
        their negatives, so that no sign is lost in the activation after them."""
        patches = F.unfold(images, PATCH, stride=PATCH).transpose(1, 2).flatten(0, 1).double()
        variances, directions = torch.linalg.eigh(patches.T @ patches / len(patches))
        whitening = (directions / (variances + SMALLEST_VARIANCE).sqrt()).T.flip(0)
        filters = whitening.view(-1, self.in_channels, PATCH, PATCH)
        self.whiten.weight.copy_(torch.cat([filters, -filters]))

    def forward(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n k"]:
        check_images(images, in_channels=self.in_channels, min_size=self.min_image_size)
        maps = self.blocks(F.relu(self.whiten(images)))
        logits: Tensor = self.head(self.pool(maps).flatten(1))
        return logits


class _Block(nn.Module):
    """Convolution 3x3, max-pool where the map has 2 pixels or more and the block `pools`, BatchNorm, SiLU."""

    def __init__(self, in_channels: int, out_channels: int, *, stride: int = 1, pools: bool = False) -> None:
        super().__init__()
        self.pools = pools
        self.conv = nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1, bias=False)
        nn.init.dirac_(self.conv.weight[: min(in_channels, out_channels)])  # as many channels as can pass unchanged
        self.norm = nn.BatchNorm2d(out_channels, momentum=STATISTICS_MOMENTUM)
        self.norm.weight.requires_grad_(False)

    def forward(self, maps: Float[Tensor, "n c h w"]) -> Float[Tensor, "n k h2 w2"]:
        maps = self.conv(maps)
        if self.pools and min(maps.shape[2:]) >= 2:
            maps = F.max_pool2d(maps, 2)
        return F.silu(self.norm(maps))
