"""Networks built from a line of text: whitened patches, then plain or blueprint-separable blocks, then the mean.

Images of any size from 3 pixels up (with a larger stem, from two patches up): [N,C,H,W] in, logits [N,K] out.
Sources: the whitening and the plain blocks, Jordan, "94% on CIFAR-10 in 3.29 seconds on a single GPU" (2024,
arXiv:2404.00498); the blueprint-separable convolution, Haase and Amthor, "Rethinking Depthwise Separable Convolutions"
(2020, arXiv:2003.13549), its unconstrained form.
"""

from __future__ import annotations

import ctypes
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from thumbnet.kernels.block_support import supports_norm_layer, supports_separable_layers
from thumbnet.kernels.blocks import fused_norm, fused_plain, fused_separable, fused_strided
from thumbnet.kernels.convolution_support import has_no_hooks
from thumbnet.models.architecture import (
    DEFAULT_STEM,
    EXAMPLE,
    Architecture,
    Layer,
    StemLayer,
    parse_blocks,
    parse_stem,
)
from thumbnet.models.blocks import check_images
from thumbnet.models.whitening import Whitening


class BlockNet(nn.Module):
    """Whitened patches and the blocks that a text names: images of at least 3 pixels a side."""

    min_image_size = StemLayer().min_side
    max_image_size: int | None = None
    default_blocks = EXAMPLE
    default_stem = DEFAULT_STEM
    whiten_padding = 1  # pixels of zeros around the images: the maps' sides are then halved without a rest
    has_shortcuts = True  # around blocks that keep their maps' shape, except the first
    learns_scales = True  # of the norms
    statistics_momentum = 0.1  # of the norms

    def __init__(
        self, *, num_classes: int = 10, in_channels: int = 3, blocks: str | None = None, stem: str | None = None
    ) -> None:
        super().__init__()
        self.in_channels = in_channels
        word = self.default_stem if stem is None else stem
        text = self.default_blocks if blocks is None else blocks
        self.architecture = Architecture(text, self.whiten_padding, self.has_shortcuts, word)
        first = parse_stem(word)
        self.min_image_size = first.min_side
        self.whiten = Whitening(
            in_channels,
            padding=first.padding(self.whiten_padding),
            patch=first.patch,
            stride=first.stride,
            out_channels=first.num_channels(in_channels),
        )
        self.whiten.weight.requires_grad_(first.trains)
        channels = self.whiten.out_channels
        stages: list[nn.Module] = []
        for layer in parse_blocks(text):
            keeps_shape = channels == layer.channels and not layer.strides and not layer.pools
            block = _Block(channels, layer, has_shortcut=self.has_shortcuts and keeps_shape and len(stages) > 0)
            block.norm.weight.requires_grad_(self.learns_scales)
            block.norm.momentum = self.statistics_momentum
            stages.append(block)
            channels = layer.channels
        self.blocks = nn.Sequential(*stages)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(channels, num_classes, bias=False)

    def init_from_data(self, images: Float[Tensor, "n c h w"]) -> None:
        """Let the first convolution whiten these images' patches."""
        self.whiten.init_from_data(images)

    def forward(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n k"]:
        check_images(images, in_channels=self.in_channels, min_size=self.min_image_size)
        maps = self._first_block_fused(images)
        if maps is None:
            maps = self.blocks(F.relu(self.whiten(images)))
        else:
            for block in list(self.blocks)[1:]:
                maps = block(maps)
        logits: Tensor = self.head(self._pooled(maps))
        return logits

    def _pooled(self, maps: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d"]:
        """The mean of each map. In training through our kernels it is the sum, divided: then the gradient is divided
        before it is spread over the pixels, which takes half the time or less."""
        first = self.blocks[0]
        by_kernels = self.training and isinstance(first, _Block) and first.kernels is not None
        is_mean = type(self.pool) is nn.AdaptiveAvgPool2d and self.pool.output_size == 1 and has_no_hooks(self.pool)
        if by_kernels and is_mean:
            return maps.sum((2, 3)) / maps.shape[2:].numel()
        pooled: Tensor = self.pool(maps)
        return pooled.flatten(1)

    def _first_block_fused(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n k h2 w2"] | None:
        """Whitening, ReLU and the first block by our kernels; None where they cannot do these as one."""
        first = self.blocks[0]
        assert isinstance(first, _Block)
        kernels = first.kernels  # once: another thread may score with it, too
        if not (kernels is not None and first.is_plain and has_no_hooks(self.blocks, first)):
            return None
        return fused_strided(kernels, images, first.conv, first.norm, whitening=self.whiten)


def architecture_of_model(model: nn.Module) -> Architecture | None:
    """The architecture of a network of blocks; None for another, also a subclass that computes something else."""
    return model.architecture if isinstance(model, BlockNet) and type(model).forward is BlockNet.forward else None


class _Block(nn.Module):
    """Convolution, max-pool where it `pools` and the map has 2 pixels or more, BatchNorm, SiLU; the input added to that
    where it `has_shortcut`. With `kernels`, these do it where they can."""

    kernels: ctypes.CDLL | None = None

    def __init__(self, in_channels: int, layer: Layer, *, has_shortcut: bool) -> None:
        super().__init__()
        self.pools = layer.pools
        self.has_shortcut = has_shortcut
        out_channels = layer.channels
        wide: dict[str, Any] = {
            "stride": 2 if layer.strides else 1,
            "padding": layer.dilation,
            "dilation": layer.dilation,
        }
        self.depthwise: nn.Module = nn.Identity()
        if layer.is_blueprint:
            self.depthwise = nn.Conv2d(out_channels, out_channels, 3, groups=out_channels, bias=False, **wide)
            self.conv = nn.Conv2d(in_channels, out_channels, 1, bias=False)
        else:
            self.conv = nn.Conv2d(in_channels, out_channels, 3, bias=False, **wide)
        nn.init.dirac_(self.conv.weight[: min(in_channels, out_channels)])  # as many as can pass unchanged
        self.norm = nn.BatchNorm2d(out_channels)

    @property
    def is_plain(self) -> bool:
        """Whether its convolution is all that comes before the norm."""
        return type(self.depthwise) is nn.Identity and has_no_hooks(self.depthwise)

    @property
    def supports_kernels(self) -> bool:
        """Whether our kernels can run a part of it at least."""
        return supports_norm_layer(self.norm)

    @property
    def runs_fully_fused(self) -> bool:
        """Whether our kernels run all of it, given maps that they support."""
        return supports_separable_layers(self.conv, self.depthwise, self.norm)

    def forward(self, maps: Float[Tensor, "n c h w"]) -> Float[Tensor, "n k h2 w2"]:
        pools = self.pools and min(maps.shape[2:]) >= 2
        kernels = self.kernels
        if kernels is not None:
            layers = self.conv, self.depthwise, self.norm
            fused = fused_separable(kernels, maps, *layers, pools=pools, has_shortcut=self.has_shortcut)
            if fused is None and self.is_plain:
                fused = fused_plain(kernels, maps, self.conv, self.norm, pools=pools, has_shortcut=self.has_shortcut)
                if fused is None and not pools and not self.has_shortcut:
                    fused = fused_strided(kernels, maps, self.conv, self.norm)
            if fused is not None:
                return fused
        changed = self.depthwise(self.conv(maps))
        if kernels is not None:
            shortcut = maps if self.has_shortcut else None
            fused = fused_norm(kernels, changed, shortcut, self.norm, pools=pools)
            if fused is not None:
                return fused
        if pools:
            changed = F.max_pool2d(changed, 2)
        changed = F.silu(self.norm(changed))
        return maps + changed if self.has_shortcut else changed
