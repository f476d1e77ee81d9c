"""A few values so far above the others that an axis which held them would flatten everything else."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

MIN_VALUES = 5
MAX_SHARE = 0.1  # of the values, of which one may always be left out
MANY_RANGES = 5.0  # times the range of the others that all values must span: less is a curve's steep beginning


def highest_shown(values: Sequence[float]) -> float | None:
    """The value at which an axis should end, below those that would flatten the others; None: it should hold all.

    Tukey's outer fence (the third quartile and three times the quartiles' distance) tells which values are outliers.
    Source: Tukey, "Exploratory Data Analysis" (1977).
    """
    if len(values) < MIN_VALUES:
        return None
    low, high = np.percentile(values, [25, 75])
    inside = [value for value in values if value <= high + 3 * (high - low)]
    num_above = len(values) - len(inside)
    if not 0 < num_above <= max(1, MAX_SHARE * len(values)):
        return None
    bottom = min(inside)
    limit = bottom + MANY_RANGES * (max(inside) - bottom)
    return max(value for value in values if value <= limit) if max(values) > limit else None


def describe_outliers(outliers: Sequence[tuple[str, str]]) -> str:
    """Name the values that an axis leaves out: each as a text, and where it is."""
    shown = ", ".join(f"{value} ({place})" for value, place in outliers[:3])
    more = f" and {len(outliers) - 3} more" if len(outliers) > 3 else ""
    return f"{len(outliers)} value{' lies' if len(outliers) == 1 else 's lie'} above the axis: {shown}{more}"
