"""How sure metrics of the user's own are: a bootstrap of images, and of whole groups where these belong together.

Of such a metric nothing is known but that it can be computed: so it is, on resampled predictions, for a bounded time.
Source: Efron and Tibshirani, "An Introduction to the Bootstrap" (1993), chapter 13; for groups see group_bootstrap.py.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from time import perf_counter

import numpy as np
from jaxtyping import Int64

from thumbnet.evaluation.custom_metrics import METRICS, Metric, checked_value
from thumbnet.evaluation.intervals import Interval, widest
from thumbnet.evaluation.overall import NUM_DRAWS, around
from thumbnet.evaluation.predictions import Predictions

SECONDS = 2.0  # for the resamples of a metric
NUM_RESAMPLES = (NUM_DRAWS, 500, 200, 100)  # the most that fit into these seconds; at least the last
NUM_ORDERS = 4  # in which the images are given to a metric first, so that one that goes by their places is known
SAME = {"rel_tol": 1e-4, "abs_tol": 1e-6}  # of a value in another order, which sums of float32 change a little
LEAST_DEFINED = 0.9  # of the resamples

TOO_SLOW = f"{NUM_RESAMPLES[-1]} resamples take more than {SECONDS:g} s"


@dataclass(frozen=True)
class MetricInterval:
    """The interval of a metric at CONFIDENCE_LEVEL, by so many resamples of the predictions; None where it has none,
    for this reason."""

    interval: Interval | None
    num_resamples: int = 0
    reason: str = ""

    def __str__(self) -> str:
        if self.interval is None:
            return f"no interval: {self.reason}"
        few = "" if self.num_resamples == NUM_DRAWS else f", by {self.num_resamples} resamples"
        return f"{self.interval[0]:.4g} to {self.interval[1]:.4g}{few}"


def custom_metric_intervals(
    predictions: Predictions,
    values: Mapping[str, float | None],
    groups: Int64[np.ndarray, " n"] | None = None,
    *,
    seed: int = 0,
) -> dict[str, MetricInterval]:
    """The interval of each metric that users registered, by name; without those that are not defined.

    Args:
        values: of the metrics on these predictions, as `custom_metrics` gives them.
        groups: a number for each image, equal for those that belong together; the intervals then reach as far as those
            by images and those by whole groups. None: each image is for itself.
    """
    found: dict[str, MetricInterval] = {}
    for name, value in values.items():
        if value is not None:
            metric = _Resampled(name, METRICS[name], value, predictions)
            found[name] = _interval(metric, groups, seed=seed)
    return found


def custom_to_dict(values: Mapping[str, float | None], intervals: Mapping[str, MetricInterval]) -> dict[str, object]:
    """Plain values for JSON; none where no metric is registered."""
    if not values:
        return {}
    bounds = {name: asdict(found) for name, found in intervals.items()}
    return {"custom_metrics": dict(values), "custom_metric_intervals": bounds}


def _interval(metric: _Resampled, groups: Int64[np.ndarray, " n"] | None, *, seed: int) -> MetricInterval:
    try:
        if reason := metric.why_none(seed=seed):
            return MetricInterval(None, reason=reason)
        intervals = [_by(metric, np.arange(metric.num_images), seed=seed)]
        if groups is not None:
            intervals.append(_by(metric, groups, seed=seed))
    except Exception as error:  # noqa: BLE001  # whatever a function of the user's raises
        return MetricInterval(None, reason=f"it fails on resampled images ({_in_short(error)})")
    known = [each.interval for each in intervals if each.interval is not None]
    if len(known) < len(intervals):
        return next(each for each in intervals if each.interval is None)
    return MetricInterval(widest(*known), min(each.num_resamples for each in intervals))


def _by(metric: _Resampled, groups: Int64[np.ndarray, " n"], *, seed: int) -> MetricInterval:
    """The interval by resamples of whole groups, with arms as long as those of the values around their median: of many
    figures, such as the worst of several classes, chance moves all resamples to one side. It reaches no farther than
    the resamples do."""
    drawn = metric.on_resamples(groups, seed=seed)
    if not drawn:
        return MetricInterval(None, reason=TOO_SLOW)
    values = np.array([value for value in drawn if value is not None], np.float64)
    if len(values) < LEAST_DEFINED * len(drawn):
        return MetricInterval(None, reason=f"it is defined on {len(values)} of {len(drawn)} resamples")
    lowest, highest = min(metric.value, values.min()), max(metric.value, values.max())
    if lowest == highest:
        return MetricInterval(None, reason="all resamples give the same")
    return MetricInterval(around(metric.value, values, lowest=lowest, highest=highest), len(drawn))


@dataclass(frozen=True)
class _Resampled:
    """A metric with its value on predictions that it can be computed on again."""

    name: str
    metric: Metric
    value: float
    predictions: Predictions

    @property
    def num_images(self) -> int:
        return len(self.predictions.labels)

    def on(self, images: Int64[np.ndarray, " m"]) -> float | None:
        """Its value on these images, of which each may come several times."""
        all_of = self.predictions
        decided = None if all_of.decided is None else all_of.decided[images]
        return checked_value(self.name, self.metric(Predictions(all_of.logits[images], all_of.labels[images], decided)))

    def why_none(self, *, seed: int) -> str:
        """Why resamples would tell nothing: it goes by the images' places, or by chance, or takes too long."""
        generator, took_s = np.random.default_rng(seed), math.inf
        for _ in range(NUM_ORDERS):
            began_s = perf_counter()
            value = self.on(generator.permutation(self.num_images))
            took_s = min(took_s, perf_counter() - began_s)
            if value is None or not math.isclose(value, self.value, **SAME):
                return "it is another number when the same images come in another order"
            if took_s * NUM_RESAMPLES[-1] > SECONDS:
                return TOO_SLOW
        return ""

    def on_resamples(self, groups: Int64[np.ndarray, " n"], *, seed: int) -> list[float | None]:
        """Its values on resamples of whole groups, as many of NUM_RESAMPLES as there is time for; empty if on none.

        The same numbers are given however fast the machine is, but for how many they are.
        """
        generator, began_s = np.random.default_rng(seed), perf_counter()
        _, places = np.unique(groups, return_inverse=True)
        num_groups = int(places.max()) + 1
        values: list[float | None] = []
        while len(values) < NUM_DRAWS and perf_counter() - began_s < SECONDS:
            counts = np.bincount(generator.integers(num_groups, size=num_groups), minlength=num_groups)
            values.append(self.on(np.repeat(np.arange(self.num_images), counts[places])))
        return values[: max((number for number in NUM_RESAMPLES if number <= len(values)), default=0)]


def _in_short(error: Exception) -> str:
    """The first line of what it says, of at most 80 characters."""
    text = f"{type(error).__name__}: {error}".partition("\n")[0]
    return text if len(text) <= 80 else f"{text[:77]}..."
