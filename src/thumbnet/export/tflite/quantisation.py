"""Real numbers as integers, as TensorFlow Lite has them: maps int8 with one scale and zero point, filters int8 with a
scale for each output channel, biases int32."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, Int8, Int32

from thumbnet.export.tflite.rounding import round_filters

MOST = 127  # of filters, which are symmetric
LEVELS = 255  # steps of an int8 map
BIAS_BITS = 30  # the most that a bias may take
LEAST_FACTOR = 2.0**-16  # of an output's step, that a step of a product is at least: every kernel can multiply by it


@dataclass(frozen=True)
class MapScale:
    """An int8 or int16 map: real = scale * (integer - zero_point)."""

    scale: float
    zero_point: int


PIXELS = MapScale(1.0, -128)  # grey levels 0..255 as int8
PROBABILITIES = MapScale(1 / 256, -128)


def map_scale(low: float, high: float) -> MapScale:
    """That of an int8 map with values from `low` to `high`; 0 is in the range, and exact, as padding needs it."""
    low, high = min(low, 0.0), max(high, 0.0)
    scale = float(np.float32((high - low) / LEVELS))
    if scale < np.finfo(np.float32).tiny:
        return MapScale(1.0, 0)
    return MapScale(scale, int(np.clip(round(-128 - low / scale), -128, 127)))


@dataclass(frozen=True)
class Filters:
    """Filters int8 with a scale for each output channel, and the bias int32."""

    values: Int8[np.ndarray, "k c a b"]
    scales: Float32[np.ndarray, " k"]
    bias: Int32[np.ndarray, " k"]


def quantise_filters(
    filters: Float[np.ndarray, "k c a b"],
    bias: Float[np.ndarray, " k"],
    *,
    moments: Float[np.ndarray, "n n"],
    before: MapScale,
    after: MapScale,
    subtracted: Float[np.ndarray, " n"] | None = None,
) -> Filters:
    """Filters that take one map to another.

    Args:
        bias: of real numbers.
        moments: the second moments of a filter's inputs, for the rounding.
        subtracted: what is to be subtracted from a filter's inputs before; the bias then does it.
    """
    flat = filters.reshape(len(filters), -1).astype(np.float64)
    limit = 2.0**BIAS_BITS * before.scale
    largest_bias = np.abs(bias) + (0 if subtracted is None else np.abs(flat @ subtracted))
    least = np.maximum(largest_bias / limit, after.scale / before.scale * LEAST_FACTOR)
    scales = np.maximum(np.abs(flat).max(axis=1) / MOST, least).astype(np.float32)
    exact_scales = scales.astype(np.float64)
    values = round_filters(flat / exact_scales[:, None], moments, most=MOST)
    if subtracted is not None:
        bias = bias - exact_scales * (values @ subtracted)
    whole = np.rint(bias / (before.scale * exact_scales)).astype(np.int32)
    return Filters(values.reshape(filters.shape).astype(np.int8), scales, whole)
