"""One figure measured several times, on several seeds or folds: its mean, its deviation and how sure the mean is."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from thumbnet.evaluation.figure_names import range_of
from thumbnet.evaluation.intervals import CONFIDENCE_LEVEL

ROUNDING = 1e-12  # of differences of fractions that are equal


@dataclass(frozen=True)
class Aggregate:
    """The mean of `n` values and their sample deviation.

    `low` and `high` bound the mean at CONFIDENCE_LEVEL by Student's t: of what more values of the same kind would give.
    `std`, `low` and `high` are None for a single value, and the bounds of equal ones, too: a few values that agree by
    chance do not say that more of them would.
    """

    n: int
    mean: float
    std: float | None
    low: float | None
    high: float | None

    def within(self, lowest: float, highest: float) -> Aggregate:
        """The same with an interval that keeps to the values that the figure can have."""
        if self.low is None or self.high is None:
            return self
        return replace(self, low=max(self.low, lowest), high=min(self.high, highest))

    @property
    def standard_error(self) -> float | None:
        """That of the mean; None for a single value."""
        return None if self.std is None else self.std / math.sqrt(self.n)


def aggregate(values: Sequence[float]) -> Aggregate:
    """Summarise the values of one figure, at least one."""
    assert values
    n, mean = len(values), statistics.fmean(values)
    if n == 1:
        return Aggregate(1, mean, None, None, None)
    std = statistics.stdev(values)
    if std < ROUNDING:
        return Aggregate(n, mean, std, None, None)
    arm = t_quantile(n - 1) * std / math.sqrt(n)
    return Aggregate(n, mean, std, mean - arm, mean + arm)


def aggregate_rows(rows: Sequence[Mapping[str, float]]) -> dict[str, Aggregate]:
    """Summarise every figure that all rows have, each row being one run's, in the order of the first row; intervals
    keep to the values that a figure of this name can have."""
    return {
        name: aggregate([row[name] for row in rows]).within(*range_of(name))
        for name in rows[0]
        if all(name in row for row in rows)
    }


def t_quantile(degrees: float) -> float:
    """How many standard errors an interval of CONFIDENCE_LEVEL reaches to either side, by Student's t."""
    from scipy.special import stdtrit

    return float(stdtrit(degrees, (1 + CONFIDENCE_LEVEL) / 2))
