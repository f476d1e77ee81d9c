"""The integer reference of the exported C, whole maps at a time: the same int32 logits, to the bit.

It was written apart from the C source and is never generated from it. Convolutions are products of floating-point
matrices, which are exact here: every sum is a whole number, below 2^24 in float32 or below 2^53 in float64.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from jaxtyping import Int, Int8, Int32, Int64, UInt8
from numpy.lib.stride_tricks import sliding_window_view

from thumbnet.export.c.fixed_point import (
    HIGH,
    LARGEST_STEP,
    LOW,
    MOST_FAR,
    MOST_FEATURE,
    PIXEL_BITS,
    SILU_LIMIT,
    SILU_STEP_BITS,
    FixedBlock,
    FixedProgram,
    FixedStem,
    Scaling,
)

BATCH_SIZE = 25
EXACT_IN_FLOAT32 = 1 << 24

Maps: TypeAlias = Int8[np.ndarray, "n h w c"]
NewMaps: TypeAlias = Int8[np.ndarray, "n h2 w2 k"]
Sums: TypeAlias = Int64[np.ndarray, "n h2 w2 k"]


def run_fixed(program: FixedProgram, images: UInt8[np.ndarray, "n c h w"]) -> Int32[np.ndarray, "n k"]:
    """Logits as whole numbers: divided by 2^logit_bits they are those of the network."""
    return _logits(program, sums_of(program, images))


def look_fixed(
    program: FixedProgram, images: UInt8[np.ndarray, "n c h w"]
) -> tuple[Int32[np.ndarray, "n k"], Int64[np.ndarray, " n"]]:
    """The same logits of a network that may answer "unknown", and the squares of its features' distances to the nearest
    class's mean, in the units of `far`."""
    sums = sums_of(program, images)
    return _logits(program, sums), _squares(program, sums)


def sums_of(program: FixedProgram, images: UInt8[np.ndarray, "n c h w"]) -> Int64[np.ndarray, "n k"]:
    """What the head sees."""
    batches = np.array_split(images, range(BATCH_SIZE, len(images), BATCH_SIZE))
    return np.concatenate([_sums_of_batch(program, batch) for batch in batches])


def _sums_of_batch(program: FixedProgram, images: UInt8[np.ndarray, "n c h w"]) -> Int64[np.ndarray, "n k"]:
    maps = run_stem(program.stem, images)
    for block in program.blocks:
        maps = run_block(block, maps, program.silu_table)
    sums: Int64[np.ndarray, "n k"] = (maps.astype(np.int64) - program.blocks[-1].zero).sum(axis=(1, 2))
    return (sums + ((1 << program.sum_shift) >> 1)) >> program.sum_shift


def _logits(program: FixedProgram, sums: Int64[np.ndarray, "n k"]) -> Int32[np.ndarray, "n c"]:
    limits = np.iinfo(np.int32)
    return _scaled(_product(sums, program.head.T), program.head_scaling, limits.min, limits.max).astype(np.int32)


def _squares(program: FixedProgram, sums: Int64[np.ndarray, "n k"]) -> Int64[np.ndarray, " n"]:
    far = program.far
    assert far is not None
    features = _scaled(sums, far.scaling, -MOST_FEATURE, MOST_FEATURE) - far.centres
    clamped = np.clip(features, -MOST_FAR, MOST_FAR)
    of_classes = [((clamped - mean) ** 2).sum(axis=1) for mean in far.means.astype(np.int64)]
    nearest: Int64[np.ndarray, " n"] = np.min(of_classes, axis=0)
    return nearest


def _scaled(sums: Int64[np.ndarray, "... k"], scaling: Scaling, low: int, high: int) -> Int64[np.ndarray, "... k"]:
    exact: Int64[np.ndarray, "... k"] = sums * scaling.multipliers
    exact += 1 << (scaling.shift - 1)
    exact >>= scaling.shift
    return np.clip(exact, low, high, out=exact)


def run_stem(stem: FixedStem, images: UInt8[np.ndarray, "n c h w"]) -> NewMaps:
    """The first convolution's maps."""
    levels = (images.transpose(0, 2, 3, 1).astype(np.int32) << PIXEL_BITS) - stem.mean16
    patches = _patches(levels, stem.filters.shape[2], padding=stem.padding, padding_value=0, stride=stem.stride)
    sums = _convolved(patches, stem.filters)
    return (_scaled(sums, stem.scaling, 0, LARGEST_STEP) + LOW).astype(np.int8)


def run_block(block: FixedBlock, maps: Maps, silu_table: Int[np.ndarray, " t"]) -> NewMaps:
    """A block's maps."""
    seen = maps
    if block.pointwise is not None:
        sums = _product(maps, block.pointwise.weights.T) + block.pointwise.bias
        seen = _scaled(sums, block.pointwise.scaling, -HIGH, HIGH).astype(np.int8)
    patches = _patches(
        seen,
        3,
        padding=block.dilation,
        padding_value=block.padding_value,
        stride=block.stride,
        dilation=block.dilation,
    )
    sums = _convolved(patches, block.filters) if block.pointwise is None else _filtered(patches, block.filters)
    if block.pools:
        sums = _max_pool(sums)
    before = _scaled(sums + block.bias, block.before, -SILU_LIMIT, SILU_LIMIT)
    steps = np.minimum(np.abs(before) >> SILU_STEP_BITS, len(silu_table) - 1)
    after = np.maximum(before, 0) - silu_table[steps]
    exact = after * block.after.multipliers
    if block.kept is not None:
        exact += (maps.astype(np.int64) - block.zero_before) * block.kept
    exact = (exact + (1 << (block.after.shift - 1)) >> block.after.shift) + block.zero
    rounded: NewMaps = np.clip(exact, LOW, HIGH).astype(np.int8)
    return rounded


def _product(values: Int[np.ndarray, "... c"], matrix: Int[np.ndarray, "c k"]) -> Int64[np.ndarray, "... k"]:
    largest = [int(np.abs(one.astype(np.int64)).max(initial=0)) for one in (values, matrix)]
    exact = np.float32 if largest[0] * largest[1] * len(matrix) < EXACT_IN_FLOAT32 else np.float64
    product: Int64[np.ndarray, "... k"] = (values.astype(exact) @ matrix.astype(exact)).astype(np.int64)
    return product


def _patches(
    maps: Int[np.ndarray, "n h w c"], side: int, *, padding: int, padding_value: int, stride: int = 1, dilation: int = 1
) -> Int[np.ndarray, "n h2 w2 c side side"]:
    """A view of the patches that a convolution's filters see."""
    edges = ((0, 0), (padding, padding), (padding, padding), (0, 0))
    padded = np.pad(maps, edges, constant_values=padding_value)
    span = dilation * (side - 1) + 1
    windows = sliding_window_view(padded, (span, span), axis=(1, 2))
    return windows[:, ::stride, ::stride, :, ::dilation, ::dilation]


def _convolved(patches: Int[np.ndarray, "n h w c a b"], filters: Int[np.ndarray, "k c a b"]) -> Sums:
    rows = patches.reshape(*patches.shape[:3], -1)
    return _product(rows, filters.reshape(len(filters), -1).T)


def _filtered(patches: Int8[np.ndarray, "n h w c 3 3"], filters: Int8[np.ndarray, "c 1 3 3"]) -> Sums:
    """Each channel by its own filter."""
    sums = np.zeros(patches.shape[:4], np.int32)
    for row, column in np.ndindex(3, 3):
        sums += patches[..., row, column] * filters[:, 0, row, column].astype(np.int32)
    return sums.astype(np.int64)


def _max_pool(sums: Sums) -> Int64[np.ndarray, "n h3 w3 k"]:
    """Of 2x2 positions; a last odd row or column is left out."""
    num_images, height, width, num_channels = sums.shape
    even = sums[:, : height // 2 * 2, : width // 2 * 2]
    pooled: Int64[np.ndarray, "n h3 w3 k"] = even.reshape(num_images, height // 2, 2, width // 2, 2, num_channels).max(
        axis=(2, 4)
    )
    return pooled
