"""`sprint`, trained in less than a minute on two cores, and `sprint-long`, for twenty epochs: frozen whitening of 2x2
patches, then plain 3x3 blocks.

Both take images of any size from 3 pixels up: [N,C,H,W] in, logits [N,K] out.
Source of the whitening and the plain blocks: Jordan, "94% on CIFAR-10 in 3.29 seconds on a single GPU" (2024,
arXiv:2404.00498). The whitening has no bias, since training one would cost the gradient of the largest map, and a ReLU
after it, both faster and better there than SiLU. The first block of `sprint` strides, since a pool would leave it two
thirds of all arithmetic.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from thumbnet.models.blocks import check_images

PATCH = 2  # pixels a side
SMALLEST_VARIANCE = 5e-4  # added to each direction's variance, so that noise is not blown up


@dataclass(frozen=True)
class Layer:
    """A block: its output channels, its convolution's stride, whether a 2x2 max-pool follows that."""

    channels: int
    stride: int = 1
    pools: bool = False


class SprintNet(nn.Module):
    """Whitened patches and six plain blocks: images of at least 3 pixels a side."""

    min_image_size = 3
    max_image_size: int | None = None
    layers: Sequence[Layer] = (
        Layer(32, stride=2),
        Layer(32),
        Layer(64, pools=True),
        Layer(64),
        Layer(80, pools=True),
        Layer(104),
    )
    whiten_padding = 0  # pixels of zeros around the images, for maps whose sides the pools halve without a rest
    is_deep = False  # then blocks that keep their maps' shape have a shortcut, and norms learn their scale
    statistics_momentum = 0.6  # of the norms: their running statistics must follow a training of few steps

    def __init__(self, *, num_classes: int = 10, in_channels: int = 3) -> None:
        super().__init__()
        self.in_channels = in_channels
        num_directions = in_channels * PATCH * PATCH
        self.whiten = nn.Conv2d(in_channels, 2 * num_directions, PATCH, padding=self.whiten_padding, bias=False)
        self.whiten.weight.requires_grad_(False)
        blocks: list[nn.Module] = []
        channels = 2 * num_directions
        for layer in self.layers:
            keeps_shape = channels == layer.channels and layer.stride == 1 and not layer.pools
            has_shortcut = self.is_deep and keeps_shape and len(blocks) > 0
            block = _Block(channels, layer, has_shortcut=has_shortcut)
            block.norm.weight.requires_grad_(self.is_deep)
            block.norm.momentum = self.statistics_momentum
            blocks.append(block)
            channels = layer.channels
        self.blocks = nn.Sequential(*blocks)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(channels, num_classes, bias=False)

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


class SprintLongNet(SprintNet):
    """Whitened patches and thirteen blocks, most with a shortcut: images of at least 3 pixels a side."""

    layers = (
        *(Layer(24),) * 6,
        Layer(48, pools=True),
        *(Layer(48),) * 4,
        Layer(64, pools=True),
        Layer(64),
    )
    whiten_padding = 1
    is_deep = True
    statistics_momentum = 0.1


class _Block(nn.Module):
    """Convolution 3x3, max-pool where it `pools` and the map has 2 pixels or more, BatchNorm, SiLU; the input added to
    that where it `has_shortcut`."""

    def __init__(self, in_channels: int, layer: Layer, *, has_shortcut: bool) -> None:
        super().__init__()
        self.pools = layer.pools
        self.has_shortcut = has_shortcut
        self.conv = nn.Conv2d(in_channels, layer.channels, 3, stride=layer.stride, padding=1, bias=False)
        nn.init.dirac_(self.conv.weight[: min(in_channels, layer.channels)])  # as many as can pass unchanged
        self.norm = nn.BatchNorm2d(layer.channels)

    def forward(self, maps: Float[Tensor, "n c h w"]) -> Float[Tensor, "n k h2 w2"]:
        changed = self.conv(maps)
        if self.pools and min(changed.shape[2:]) >= 2:
            changed = F.max_pool2d(changed, 2)
        changed = F.silu(self.norm(changed))
        return maps + changed if self.has_shortcut else changed
