"""Which convolutions our kernels are faster at than PyTorch's: by their shape and the processor's abilities alone."""

from __future__ import annotations

import torch
from torch import Tensor

from thumbnet.kernels.cpu import cpu_form
from thumbnet.kernels.support import storage_dtype

MIN_CHANNELS = 8  # of the input and of the result: with fewer, most of a vector would be empty
MIN_CHANNELS_AVX512 = 16  # whose vectors have 16 floats
MIN_IMAGES = 2  # a single one is one thread's work
MIN_TILES = 40  # of 4x4 results, in all images: for fewer, transforming the filters takes longer than it saves
MIN_GAIN = 2.0  # how many times fewer products, to make up for the transforms
MAX_FILTERS = 2**18  # input times output channels: each of 16 parts of a batch sums up a gradient of this size
TILES = (2, 3, 4)  # results a side of the tiles that there are kernels for


def is_taken(maps: Tensor, weight: Tensor, *, padding: int, dilation: int) -> bool:
    """Whether our kernels, which support this convolution, are also faster at it on this machine."""
    dtype = storage_dtype(maps)
    out_channels, in_channels = weight.shape[:2]
    has_tiles = dtype is not torch.float32 and has_bfloat16_tiles()
    batch, _, height, width = maps.shape
    shrinkage = 2 * dilation - 2 * padding
    height, width = height - shrinkage, width - shrinkage
    return (
        batch >= MIN_IMAGES
        and batch * -(-height // 4) * -(-width // 4) >= MIN_TILES
        and in_channels * out_channels <= MAX_FILTERS
        and product_gain(height, width, dilation) >= MIN_GAIN
        and is_faster(in_channels, out_channels, dtype, bfloat16_tiles=has_tiles)
    )


def product_gain(height: int, width: int, dilation: int) -> float:
    """How many times fewer products the minimal filters need for a result of this size than nine a value.

    Tiles that stick out over the border, or over that of a dilated convolution's sub-grids, are computed whole.
    """

    def tiles_along(size: int, side: int) -> int:
        longest, rest = -(-size // dilation), size % dilation  # a sub-grid's length, and how many have it
        num_longest = rest or dilation
        return num_longest * -(-longest // side) + (dilation - num_longest) * -(-(longest - 1) // side)

    products = min(tiles_along(height, side) * tiles_along(width, side) * (side + 2) ** 2 for side in TILES)
    return 9 * height * width / products


def has_enough_channels(in_channels: int, out_channels: int) -> bool:
    """Whether our kernels can be faster with so many channels on this machine."""
    return min(in_channels, out_channels) >= (MIN_CHANNELS_AVX512 if has_avx512() else MIN_CHANNELS)


def is_faster(in_channels: int, out_channels: int, dtype: torch.dtype, *, bfloat16_tiles: bool) -> bool:
    """Whether our kernels are faster with these channels and with maps stored in this format.

    They compute in float32 and only store bfloat16. Where the processor has AVX-512's instructions for bfloat16 alone,
    PyTorch's convolutions in that format took three times as long as ours (docs/LOG.md, 2026-11-29).

    Args:
        bfloat16_tiles: whether the processor multiplies whole tiles of bfloat16 (AMX), which no other way comes near.
    """
    return has_enough_channels(in_channels, out_channels) and (dtype is torch.float32 or not bfloat16_tiles)


def has_avx512() -> bool:
    """Whether PyTorch and our kernels compute with AVX-512 here."""
    return cpu_form() == "native" and torch.backends.cpu.get_cpu_capability() == "AVX512"


def has_bfloat16_tiles() -> bool:
    """Whether this CPU multiplies tiles of bfloat16 matrices: server processors with AMX."""
    if cpu_form() != "native" or not hasattr(torch.cpu, "get_capabilities"):
        return False
    return bool(torch.cpu.get_capabilities().get("amx_bf16"))
