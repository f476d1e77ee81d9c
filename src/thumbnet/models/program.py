"""A trained network of blocks as a folded program: what every exported form and the NumPy predictor read.

A program is made for one image shape. Its norms are folded into the filters before them, so that what is left is

    x = pixels 0..255 - mean                        one mean for each channel, then zeros are padded
    x = relu(stem(x))                               a convolution without bias; pixels' scale is in its filters
    for each block:
        y = pointwise(x)                            separable blocks only: 1x1, no bias, no activation
        y = filters(y)                              3x3, depthwise in separable blocks; zero padding = dilation
        y = max_pool(y, 2) * sign                   blocks that pool only; an odd last row or column is left out
        y = silu(y + bias)
        x = x + y if it has a shortcut, else y
    logits = head @ mean of x over all positions    a matrix without bias

`sign` is there because a norm may have a negative scale, which cannot pass a maximum: the filters have its size, and
the sign follows the pool (a multiplication by 1 or -1). Blocks that do not pool have it in their filters.

Without PyTorch. `BlockNet` in evaluation mode is the definition; a program agrees with it up to rounding.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from jaxtyping import Float

from thumbnet.errors import ModelError
from thumbnet.models.architecture import Architecture, Layer, parse_blocks, parse_stem
from thumbnet.models.program_weights import check_block_weights

Shape: TypeAlias = tuple[int, int, int]  # channels, height, width

NORM_EPSILON = 1e-5  # of PyTorch's BatchNorm2d


@dataclass(frozen=True)
class Stem:
    """The first convolution, of square filters, with `padding` zeros around the images; then ReLU."""

    filters: Float[np.ndarray, "k c a a"]
    padding: int
    in_shape: Shape
    out_shape: Shape
    stride: int = 1


@dataclass(frozen=True)
class Block:
    """A block; `filters` are [k,1,3,3] (depthwise) if there is a `pointwise` matrix, else [k,c,3,3].

    `name` is the module's, such as `blocks.3`. `conv_shape` is that of the maps before a pool, equal to `out_shape`
    where the block does not pool. `sign` is None where all are 1.
    """

    name: str
    pointwise: Float[np.ndarray, "k c"] | None
    filters: Float[np.ndarray, "k cg 3 3"]
    bias: Float[np.ndarray, " k"]
    sign: Float[np.ndarray, " k"] | None
    stride: int
    dilation: int
    pools: bool
    has_shortcut: bool
    in_shape: Shape
    conv_shape: Shape
    out_shape: Shape

    @property
    def is_separable(self) -> bool:
        return self.pointwise is not None

    @property
    def macs(self) -> int:
        """Multiply-accumulates for one image."""
        channels, height, width = self.conv_shape
        num_filter_macs = channels * height * width * self.filters.shape[1] * 9
        pointwise = 0 if self.pointwise is None else self.pointwise.size * self.in_shape[1] * self.in_shape[2]
        return int(num_filter_macs + pointwise)


@dataclass(frozen=True)
class Program:
    """All that is needed to run a trained network of blocks on uint8 images of one shape. All arrays are float32.

    `mean` is of grey levels 0..255.
    """

    mean: Float[np.ndarray, " c"]
    stem: Stem
    blocks: tuple[Block, ...]
    head: Float[np.ndarray, "n k"]

    @property
    def image_shape(self) -> Shape:
        return self.stem.in_shape

    @property
    def num_classes(self) -> int:
        return len(self.head)

    @property
    def macs(self) -> int:
        """Multiply-accumulates for one image."""
        _, height, width = self.stem.out_shape
        return self.stem.filters.size * height * width + sum(block.macs for block in self.blocks) + self.head.size


def fold(
    architecture: Architecture,
    weights: Mapping[str, np.ndarray],
    *,
    image_shape: Shape,
    mean: Sequence[float],
    std: Sequence[float],
) -> Program:
    """The program of a trained `BlockNet`.

    Args:
        weights: its `state_dict`, of any floating-point numbers.
        mean, std: by channel, of pixels in 0..1.

    Raises:
        ModelError: the images are smaller than the network takes.
    """
    if min(image_shape[1:]) < architecture.min_side:
        raise ModelError(
            f"the images are {image_shape[2]}x{image_shape[1]} pixels, but this network of blocks takes sides of at "
            f"least {architecture.min_side}",
            hint="choose a larger image_size",
        )
    check_block_weights(architecture, weights, num_channels=image_shape[0])
    exact = {name: np.asarray(array, np.float64) for name, array in weights.items()}
    filters = exact["whiten.weight"] / (255 * np.array(std, np.float64)).reshape(1, -1, 1, 1)
    first = parse_stem(architecture.stem)
    if filters.shape[2:] != (first.patch, first.patch):
        raise ModelError(
            f"the first filters have {filters.shape[2]}x{filters.shape[3]} pixels, but the stem is {architecture.stem}",
            hint="the weights are of another network",
        )
    padding = first.padding(architecture.whiten_padding)
    sides = first.map_sides(image_shape[1:], padding=padding)
    stem = Stem(_single(filters), padding, image_shape, (len(filters), *sides), first.stride)
    shape = stem.out_shape
    blocks: list[Block] = []
    for index, layer in enumerate(parse_blocks(architecture.blocks)):
        keeps_shape = shape[0] == layer.channels and not layer.strides and not layer.pools
        has_shortcut = architecture.has_shortcuts and keeps_shape and index > 0
        block = _fold_block(f"blocks.{index}", layer, exact, shape, has_shortcut=has_shortcut)
        blocks.append(block)
        shape = block.out_shape
    return Program(_single(255 * np.array(mean, np.float64)), stem, tuple(blocks), _single(exact["head.weight"]))


def equalised(program: Program, ranges: Mapping[str, Float[np.ndarray, " k"]]) -> Program:
    """The same program with the pointwise outputs' channels brought to one range, 1: exact, since they meet their
    depthwise filters without an activation between.

    Args:
        ranges: by block name, the largest absolute value of each channel of its pointwise output; 0 where it is silent.
    """
    blocks: list[Block] = []
    for block in program.blocks:
        if block.pointwise is None or block.name not in ranges:
            blocks.append(block)
            continue
        factor = np.where(ranges[block.name] > 0, ranges[block.name], 1).astype(np.float64)
        blocks.append(
            replace(
                block,
                pointwise=_single(block.pointwise / factor[:, None]),
                filters=_single(block.filters * factor[:, None, None, None]),
            )
        )
    return replace(program, blocks=tuple(blocks))


def _fold_block(
    name: str, layer: Layer, weights: Mapping[str, np.ndarray], in_shape: Shape, *, has_shortcut: bool
) -> Block:
    gamma, beta, mean, variance = (
        weights[f"{name}.norm.{part}"] for part in ("weight", "bias", "running_mean", "running_var")
    )
    scale = gamma / np.sqrt(variance + NORM_EPSILON)
    stride = 2 if layer.strides else 1
    height, width = ((side - 1) // stride + 1 for side in in_shape[1:])
    conv_shape = (layer.channels, height, width)
    pools = layer.pools and min(height, width) >= 2
    out_shape = (layer.channels, height // 2, width // 2) if pools else conv_shape
    sign = np.where(scale < 0, -1.0, 1.0)
    factor = np.abs(scale) if pools else scale
    pointwise = weights[f"{name}.conv.weight"][:, :, 0, 0] if layer.is_blueprint else None
    filters = weights[f"{name}.depthwise.weight" if layer.is_blueprint else f"{name}.conv.weight"]
    return Block(
        name=name,
        pointwise=None if pointwise is None else _single(pointwise),
        filters=_single(filters * factor[:, None, None, None]),
        bias=_single(beta - mean * scale),
        sign=_single(sign) if pools and (sign < 0).any() else None,
        stride=stride,
        dilation=layer.dilation,
        pools=pools,
        has_shortcut=has_shortcut,
        in_shape=in_shape,
        conv_shape=conv_shape,
        out_shape=out_shape,
    )


def _single(values: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    return np.ascontiguousarray(values, np.float32)
