"""A share with its interval, as sentences and tables of text have it. Without PyTorch."""

from __future__ import annotations

from thumbnet.evaluation.intervals import Interval


def with_interval(value: float | None, bounds: Interval | None) -> str:
    """A share as per cent with its interval in brackets; `-` where it is not defined."""
    if value is None or bounds is None:
        return "-" if value is None else f"{value:.2%}"
    return f"{value:.2%} ({100 * bounds[0]:.1f} to {100 * bounds[1]:.1f})"
