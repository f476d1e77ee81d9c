"""From a folded program and the ranges of its maps to whole numbers. Without PyTorch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int8, Int16

from thumbnet.errors import ExportError
from thumbnet.export.c.fixed_point import (
    HIGH,
    LARGEST_STEP,
    LOW,
    MOST_LOGIT_BITS,
    PIXEL_BITS,
    SILU_BITS,
    SILU_STEP_BITS,
    SILU_TABLE_SIZE,
    FixedBlock,
    FixedPointwise,
    FixedProgram,
    FixedStem,
    Scaling,
)
from thumbnet.models.export_data import AFTER, STEM, Range
from thumbnet.models.program import Block, Program, Stem

MOST_SUM = 1 << 30  # of an accumulator, which has 32 bits
MOST_BIAS = 1 << 24  # in an accumulator's units: weights that are tiny beside their bias are coarser instead
MOST_RATIO = 1024  # of a map's channels' scales: a channel that hardly moves must not cost the others their precision
MOST_SHIFT = 62


@dataclass(frozen=True)
class MapScale:
    """What a step of an int8 map is worth, by channel, and the int8 that stands for 0."""

    step: Float[np.ndarray, " k"]
    zero: int


def quantised(program: Program, ranges: Mapping[str, Range]) -> FixedProgram:
    """A program in whole numbers.

    Args:
        program: equalised.
        ranges: of `stem` and of each block's `.after`, as in ExportData.

    Raises:
        ExportError: its weights or ranges are so far apart that they do not fit.
    """
    stem_scale = _stem_scale(ranges[STEM])
    blocks: list[FixedBlock] = []
    scale = stem_scale
    for block in program.blocks:
        after = map_scale(ranges[block.name + AFTER])
        blocks.append(_quantised_block(block, before=scale, after=after))
        scale = after
    return _with_head(program, scale, _quantised_stem(program, stem_scale), tuple(blocks))


def _stem_scale(found: Range) -> MapScale:
    return MapScale(_steps(found.high.astype(np.float64) / LARGEST_STEP), LOW)


def map_scale(found: Range) -> MapScale:
    """That of a block's output; `zero` is where it is best for the channel in the middle."""
    low, high = np.minimum(found.low, 0).astype(np.float64), np.maximum(found.high, 0).astype(np.float64)
    below = np.median(-low / np.maximum(high - low, np.finfo(np.float64).tiny))
    zero = int(np.clip(round(LOW + LARGEST_STEP * float(below)), LOW + 1, HIGH - 1))
    return MapScale(_steps(np.maximum(high / (HIGH - zero), low / (LOW - zero))), zero)


def _steps(steps: Float[np.ndarray, " k"]) -> Float[np.ndarray, " k"]:
    if not np.isfinite(steps).all():
        raise ExportError(
            "a map of the network reaches infinity or NaN", hint="train again, with a lower learning rate"
        )
    largest = float(steps.max())
    return np.maximum(steps, largest / MOST_RATIO) if largest > 0 else np.ones_like(steps)


def _quantised_stem(program: Program, scale: MapScale) -> FixedStem:
    stem: Stem = program.stem
    filters = stem.filters.astype(np.float64) / (1 << PIXEL_BITS)
    flat = filters.reshape(len(filters), -1)
    most = np.abs(flat).sum(axis=1) * (255 << PIXEL_BITS)
    step = np.maximum(np.abs(flat).max(axis=1) / np.iinfo(np.int16).max, most / MOST_SUM)
    step = np.where(step > 0, step, 1)
    return FixedStem(
        mean16=np.round(program.mean.astype(np.float64) * (1 << PIXEL_BITS)).astype(np.int32),
        filters=np.round(filters / step[:, None, None, None]).astype(np.int16),
        scaling=scaling_of(step / scale.step),
        padding=stem.padding,
        in_shape=stem.in_shape,
        out_shape=stem.out_shape,
        stride=stem.stride,
    )


def _quantised_block(block: Block, *, before: MapScale, after: MapScale) -> FixedBlock:
    pointwise = None
    filters = block.filters.astype(np.float64)
    seen = before
    if block.pointwise is not None:
        seen = MapScale(np.full(len(filters), 1 / HIGH), 0)  # the outputs' range is 1
        weights, step = _rows(block.pointwise * before.step)
        sums = weights.astype(np.int64).sum(axis=1)
        pointwise = FixedPointwise(
            weights, (-before.zero * sums).astype(np.int32), scaling_of(np.where(weights.any(axis=1), step * HIGH, 0))
        )
        filters = filters / HIGH
    else:
        filters = filters * before.step[:, None, None]
    sign = np.ones(len(filters)) if block.sign is None else block.sign.astype(np.float64)
    bias = block.bias.astype(np.float64) * sign
    rows, step = _rows(filters.reshape(len(filters), -1), least=np.abs(bias) / MOST_BIAS)
    whole_bias = np.round(bias / step) - seen.zero * rows.astype(np.int64).sum(axis=1)
    factors = 1 / (after.step * (1 << SILU_BITS))
    if block.has_shortcut:
        both = scaling_of(np.concatenate([factors, before.step / after.step]))
        after_scaling = Scaling(both.multipliers[: len(factors)], both.shift)
        kept = both.multipliers[len(factors) :]
    else:
        after_scaling, kept = scaling_of(factors), None
    return FixedBlock(
        name=block.name,
        pointwise=pointwise,
        filters=rows.reshape(filters.shape),
        padding_value=seen.zero,
        bias=whole_bias.astype(np.int32),
        before=scaling_of(step * sign * (1 << SILU_BITS)),
        after=after_scaling,
        kept=kept,
        zero_before=before.zero,
        zero=after.zero,
        stride=block.stride,
        dilation=block.dilation,
        pools=block.pools,
        has_shortcut=block.has_shortcut,
        in_shape=block.in_shape,
        conv_shape=block.conv_shape,
        out_shape=block.out_shape,
    )


def _with_head(program: Program, scale: MapScale, stem: FixedStem, blocks: tuple[FixedBlock, ...]) -> FixedProgram:
    _, height, width = program.blocks[-1].out_shape
    most_sum = LARGEST_STEP * height * width
    if most_sum > MOST_SUM:
        raise ExportError(
            f"the last maps are {width}x{height} pixels, whose sums do not fit 32 bits", hint="let blocks halve them"
        )
    head, step = _rows(program.head * scale.step / (height * width))
    weights = np.abs(head.astype(np.int64)).sum(axis=1)
    sum_shift = 0
    while (most_sum >> sum_shift) * int(weights.max()) > MOST_SUM:
        sum_shift += 1
    most_logit = float((weights * step).max()) * most_sum
    logit_bits = min(MOST_LOGIT_BITS, 30 - math.ceil(math.log2(most_logit + 1)))
    if logit_bits < 0:
        raise ExportError(f"the logits reach {most_logit:.3g}, which is out of range", hint="train again")
    factors = step * 2.0 ** (sum_shift + logit_bits)
    return FixedProgram(stem, blocks, _silu_table(), sum_shift, head, scaling_of(factors), logit_bits)


def _rows(
    weights: Float[np.ndarray, "k n"], *, least: Float[np.ndarray, " k"] | float = 0.0
) -> tuple[Int8[np.ndarray, "k n"], Float[np.ndarray, " k"]]:
    """Weights as int8 from -127 to 127, and what a step of each row is worth.

    A row's rounding errors add up to nearly nothing: what a row sees is much alike (neighbouring pixels, or channels
    above 0 on average), so that errors of one sign would add up to an offset.
    """
    exact = weights.astype(np.float64)
    if not np.isfinite(exact).all():
        raise ExportError("weights of the network are infinity or NaN", hint="train again, with a lower learning rate")
    step = np.maximum(np.abs(exact).max(axis=1) / HIGH, least)
    step = np.where(step > 0, step, 1.0)
    scaled = exact / step[:, None]
    whole = np.round(scaled)
    errors = scaled - whole
    order = np.argsort(-errors, axis=1, kind="stable")
    for row, missing in enumerate(np.round(errors.sum(axis=1)).astype(int)):
        changed = order[row, :missing] if missing >= 0 else order[row, missing:]
        whole[row, changed] += np.sign(missing)
    return np.clip(whole, -HIGH, HIGH).astype(np.int8), step


def scaling_of(factors: Float[np.ndarray, " k"]) -> Scaling:
    """Factors as int32 multipliers, of which the largest uses all bits, and one shift."""
    largest = float(np.abs(factors).max())
    shift = 1 if largest == 0 else min(MOST_SHIFT, 30 - math.floor(math.log2(largest)))
    if shift < 1 or not math.isfinite(largest):
        raise ExportError(f"the factor {largest:.3g} between two maps' units is out of range", hint="train again")
    whole = np.round(factors * 2.0**shift)
    return Scaling(np.clip(whole, -(2**31) + 1, 2**31 - 1).astype(np.int32), shift)


def _silu_table() -> Int16[np.ndarray, " t"]:
    """a / (1 + exp(a)) in the middle of each step."""
    middles = (np.arange(SILU_TABLE_SIZE) + 0.5) / (1 << (SILU_BITS - SILU_STEP_BITS))
    table: Int16[np.ndarray, " t"] = np.round(middles / (1 + np.exp(middles)) * (1 << SILU_BITS)).astype(np.int16)
    return table
