"""The rule of "unknown" in whole numbers. Without PyTorch."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from jaxtyping import Float, Int64

from thumbnet.errors import ExportError
from thumbnet.export.c.fixed_point import LARGEST_STEP, MOST_FAR, MOST_FEATURE, FixedFar, FixedProgram
from thumbnet.export.c.quantise import map_scale, scaling_of
from thumbnet.models.export_data import Range
from thumbnet.models.unknown import Unknown

MOST_BITS = 12
MOST_CENTRE = MOST_FEATURE >> 1


def with_far(program: FixedProgram, unknown: Unknown, last: Range) -> FixedProgram:
    """The program with the rule.

    There are as many bits as the widths allow, so that no clamp changes an answer. A feature further than MOST_FAR from
    the middle of the classes' means is, by itself, further than the limit from each of these, clamped or not: the
    difference left is at least MOST_FAR less the mean's own. Features are below MOST_FEATURE (2^30) and centres below
    half of it, so their difference fits an int32. A difference from a mean is below 2 * MOST_FAR (65,534): its square
    takes more than an int32, and a sum of 2^32 such squares fits the program's int64.

    Args:
        program: of the network without the rule.
        last: the range of its last maps.

    Raises:
        ExportError: the distances are too large for these widths.
    """
    deviations = np.array(unknown.deviations)
    means = np.array(unknown.means) / deviations
    centres = (means.min(axis=0) + means.max(axis=0)) / 2
    worth = _worth_of_sums(program, last) / deviations
    reach = float(worth.max()) * _most_sum(program)
    least = np.finfo(np.float64).tiny
    room = min(
        (MOST_FAR - 2) / (float(np.abs(means - centres).max()) + unknown.limit),  # 2: both are rounded
        MOST_FEATURE / max(reach, least),
        MOST_CENTRE / max(float(np.abs(centres).max()), least),
    )
    if not room >= 1:
        raise ExportError(
            "the distances by which pictures are unknown are too large for whole numbers of 16 bits",
            hint='export to onnx or html, or train with unknown = "off"',
        )
    bits = min(MOST_BITS, math.floor(math.log2(room)))
    unit = 2.0**bits
    middle = np.round(centres * unit)
    far = FixedFar(
        scaling=scaling_of(worth * unit),
        centres=middle.astype(np.int32),
        means=(np.round(means * unit) - middle).astype(np.int16),
        bits=bits,
        limit=_largest_square(unknown.limit, bits),
    )
    return replace(program, far=far)


def far_error(program: FixedProgram) -> float:
    """How far a distance, in deviations, can be from the exact one of the same int8 maps: a feature, a multiplier's
    part in it, and a mean are rounded to half a unit each, and so are the sums, where they are shifted."""
    far = program.far
    assert far is not None
    worth = far.scaling.multipliers / 2.0 ** (far.scaling.shift + far.bits)  # of 1 in a sum
    by_feature = 1.5 / 2.0**far.bits + (worth / 2 if program.sum_shift else 0 * worth)
    return float(np.sqrt((by_feature**2).sum()))


def distances_of(program: FixedProgram, squares: Int64[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Distances in deviations, of the squares that the reference gives."""
    assert program.far is not None
    distances: Float[np.ndarray, " n"] = np.sqrt(squares) / 2.0**program.far.bits
    return distances


def _worth_of_sums(program: FixedProgram, last: Range) -> Float[np.ndarray, " k"]:
    """What a feature is for each 1 of the sum that the head sees."""
    _, height, width = program.blocks[-1].out_shape
    worth: Float[np.ndarray, " k"] = map_scale(last).step * 2.0**program.sum_shift / (height * width)
    return worth


def _most_sum(program: FixedProgram) -> int:
    """The largest sum that the head can see."""
    _, height, width = program.blocks[-1].out_shape
    return (LARGEST_STEP * height * width >> program.sum_shift) + 1


def _largest_square(limit: float, bits: int) -> int:
    """The largest whole number whose square root, in double precision, is not above the limit in the units of `far`: so
    a distance computed of it is above the limit where the program says "unknown", and only there."""
    most = limit * 2.0**bits
    square = math.floor(most**2)
    while math.sqrt(square + 1) <= most:
        square += 1
    while math.sqrt(square) > most:
        square -= 1
    return square
