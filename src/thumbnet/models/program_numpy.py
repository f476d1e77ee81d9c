"""A folded program run by NumPy alone: a picture's logits in milliseconds, without two seconds of importing PyTorch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from jaxtyping import Float, UInt8
from numpy.lib.stride_tricks import sliding_window_view

from thumbnet.models.program import Block, Program

Maps: TypeAlias = Float[np.ndarray, "n h w c"]
NewMaps: TypeAlias = Float[np.ndarray, "n h2 w2 k"]


@dataclass(frozen=True)
class ProgramResult:
    """Logits float32 [N,K], and the last maps float32 [N,H,W,M], whose mean the head sees."""

    logits: Float[np.ndarray, "n k"]
    maps: Float[np.ndarray, "n h w m"]


def run_program(program: Program, images: UInt8[np.ndarray, "n c h w"]) -> ProgramResult:
    """Logits and last maps of images of the program's shape."""
    maps: Maps = images.transpose(0, 2, 3, 1).astype(np.float32) - program.mean
    stem = program.stem
    maps = np.maximum(_convolve(maps, stem.filters, padding=stem.padding), 0)
    for block in program.blocks:
        changed = _run_block(block, maps)
        maps = maps + changed if block.has_shortcut else changed
    return ProgramResult(maps.mean(axis=(1, 2)) @ program.head.T, maps)


def _run_block(block: Block, maps: Maps) -> NewMaps:
    """A block's output, without the shortcut."""
    if block.pointwise is None:
        maps = _convolve(maps, block.filters, padding=block.dilation, stride=block.stride, dilation=block.dilation)
    else:
        maps = _convolve_depthwise(
            maps @ block.pointwise.T, block.filters, stride=block.stride, dilation=block.dilation
        )
    if block.pools:
        maps = _max_pool(maps)
    if block.sign is not None:
        maps = maps * block.sign
    return _silu(maps + block.bias)


def _convolve(
    maps: Maps, filters: Float[np.ndarray, "k c a b"], *, padding: int, stride: int = 1, dilation: int = 1
) -> NewMaps:
    patches = _patches(maps, filters.shape[2], padding=padding, stride=stride, dilation=dilation)
    return np.tensordot(patches, filters, axes=((3, 4, 5), (1, 2, 3)))


def _convolve_depthwise(
    maps: Maps, filters: Float[np.ndarray, "c 1 3 3"], *, stride: int, dilation: int
) -> Float[np.ndarray, "n h2 w2 c"]:
    patches = _patches(maps, 3, padding=dilation, stride=stride, dilation=dilation)
    convolved = np.zeros(patches.shape[:4], np.float32)
    for row, column in np.ndindex(3, 3):
        convolved += patches[..., row, column] * filters[:, 0, row, column]
    return convolved


def _patches(
    maps: Maps, side: int, *, padding: int, stride: int, dilation: int
) -> Float[np.ndarray, "n h2 w2 c side side"]:
    """A view of the patches that a convolution's filters see."""
    padded = np.pad(maps, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    span = dilation * (side - 1) + 1
    windows = sliding_window_view(padded, (span, span), axis=(1, 2))
    return windows[:, ::stride, ::stride, :, ::dilation, ::dilation]


def _max_pool(maps: Maps) -> Float[np.ndarray, "n h2 w2 c"]:
    """Of 2x2 pixels; a last odd row or column is left out."""
    num_images, height, width, num_channels = maps.shape
    even = maps[:, : height // 2 * 2, : width // 2 * 2]
    pooled: Maps = even.reshape(num_images, height // 2, 2, width // 2, 2, num_channels).max(axis=(2, 4))
    return pooled


def _silu(maps: Maps) -> Maps:
    """x * sigmoid(x), by a hyperbolic tangent, which does not overflow."""
    activated: Maps = 0.5 * maps * (1 + np.tanh(0.5 * maps))
    return activated
