"""How much of the image one value of a map can see, followed call by call: the receptive field, a side in pixels.

Each window adds (kernel - 1) x dilation x the distance in pixels between neighbouring positions, as derived in Araujo,
Norris and Sim, "Computing receptive fields of convolutional neural networks", Distill 2019. The field may exceed the
image, since padding counts. Global pools, means over the map, linear layers on flattened maps, and any unknown call
that changes the size of the map see the whole map, which is an upper bound for the last. Shapes have no batch axis.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from torch import Tensor

# The positional arguments of the functions that slide a window, as PyTorch documents them.
WINDOW_ARGUMENTS = {
    "conv2d": ("input", "weight", "bias", "stride", "padding", "dilation", "groups"),
    "max_pool2d": ("input", "kernel_size", "stride", "padding", "dilation"),
    "avg_pool2d": ("input", "kernel_size", "stride", "padding"),
}
RESHAPES = {"flatten", "unflatten", "view", "reshape", "permute", "transpose", "movedim", "squeeze", "unsqueeze"}
MIXERS = {"matmul", "bmm", "scaled_dot_product_attention", "multi_head_attention_forward"}  # each position sees all

Pair: TypeAlias = tuple[int, int]


@dataclass(frozen=True)
class Window:
    """What a convolution or a pool slides over a map, each as (height, width)."""

    kernel: Pair
    stride: Pair
    padding: Pair
    dilation: Pair
    groups: int = 1


@dataclass(frozen=True)
class Axis:
    """One axis of a map: what a position sees, the distance between neighbours (both in pixels), and the positions.

    A flattened map keeps the positions that it had.
    """

    field: int
    jump: int
    positions: int

    def slide(self, kernel: int, stride: int, dilation: int, positions: int) -> Axis:
        """After a window that leaves so many positions."""
        return Axis(self.field + (kernel - 1) * dilation * self.jump, self.jump * stride, positions)

    def divide(self, parts: int) -> Axis:
        """After an adaptive pool to so many parts: its widest window, and its largest step."""
        ends = [-(-(part + 1) * self.positions // parts) for part in range(parts)]
        kernel = max(end - part * self.positions // parts for part, end in enumerate(ends))
        return self.slide(kernel, -(-self.positions // parts), 1, parts)


Reach: TypeAlias = tuple[Axis, ...]


def image_reach(sides: Sequence[int]) -> Reach:
    """A pixel sees itself."""
    return tuple(Axis(1, 1, side) for side in sides)


def next_reach(
    inputs: Sequence[Reach], kind: str, window: Window | None, in_shape: tuple[int, ...], shape: tuple[int, ...]
) -> Reach:
    """What each position of a call's result sees, of several inputs the widest.

    `kind` is the function's name; `in_shape` the shape of the first input, `shape` the result's.
    """
    merged = tuple(_merge(axes) for axes in zip(*inputs, strict=True))
    is_map = len(shape) == 3
    if window is not None:
        steps = zip(merged, window.kernel, window.stride, window.dilation, shape[-2:], strict=True)
        return tuple(axis.slide(*step) for axis, *step in steps)
    if kind.startswith("adaptive") and is_map:
        return tuple(axis.divide(parts) for axis, parts in zip(merged, shape[-2:], strict=True))
    if kind == "pad" and is_map:
        return tuple(Axis(axis.field, axis.jump, side) for axis, side in zip(merged, shape[-2:], strict=True))
    keeps_positions = shape[-2:] == in_shape[-2:] if is_map else len(shape) >= len(in_shape)
    is_flat_linear = kind == "linear" and len(shape) == 1
    if kind in RESHAPES or (keeps_positions and kind not in MIXERS and not is_flat_linear):
        return merged
    return tuple(axis.divide(1) for axis in merged)


def window_of(kind: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Window | None:
    """The window that a function slides with these arguments, None if it slides none."""
    if kind not in WINDOW_ARGUMENTS:
        return None
    given = {**dict(zip(WINDOW_ARGUMENTS[kind], args, strict=False)), **kwargs}
    weight: Tensor | None = given.get("weight")
    kernel = _pair(given["kernel_size"] if weight is None else tuple(weight.shape[2:]))
    stride = given.get("stride") or (kernel if weight is None else 1)  # a pool's default is its kernel
    dilation, padding = _pair(given.get("dilation", 1)), given.get("padding", 0)
    if padding == "same":
        padding = (dilation[0] * (kernel[0] - 1) // 2, dilation[1] * (kernel[1] - 1) // 2)
    elif padding == "valid":
        padding = 0
    return Window(kernel, _pair(stride), _pair(padding), dilation, given.get("groups", 1))


def _merge(axes: Sequence[Axis]) -> Axis:
    """The widest view; the spacing of the largest map, onto which a smaller one is spread (squeeze and excitation)."""
    largest = max(axes, key=lambda axis: (axis.positions, axis.jump))
    return Axis(max(axis.field for axis in axes), largest.jump, largest.positions)


def _pair(value: int | Sequence[int]) -> Pair:
    return (value, value) if isinstance(value, int) else (value[0], value[-1])
