"""Metrics of the user's own: computed wherever a split is scored for people, and kept with a run."""

from __future__ import annotations

import math
from collections.abc import Callable

from thumbnet.errors import ConfigError
from thumbnet.evaluation.predictions import Predictions
from thumbnet.specs.registry import Registry

Metric = Callable[[Predictions], float | None]  # None where it is not defined, say for a class without images

METRICS: Registry[Metric] = Registry("metric", "thumbnet.metrics", {})


def register_metric(name: str, metric: Metric, *, replace: bool = False) -> None:
    """Add a metric to those of `evaluate`, the report and metrics.json (`custom_metrics`).

    Args:
        name: under which it is reported: lower-case letters, digits, `-`, `_` and `.`.
        metric: is given the predictions of a split (logits [N,K], labels [N] and what follows from them) and returns a
            finite number, or None where it is not defined. It is called again on resamples of the images, for its
            interval (see custom_intervals.py).
        replace: take the place of a metric that was registered before.

    Raises:
        ConfigError: the name is no such word, or is taken.
    """
    METRICS.register(name, metric, replace=replace)


def custom_metrics(predictions: Predictions) -> dict[str, float | None]:
    """The value of every metric that was registered, or that an installed package brings, by name.

    Raises:
        ConfigError: a metric returns no finite number, or its package cannot be loaded.
    """
    return {name: checked_value(name, metric(predictions)) for name, metric in METRICS.items()}


def checked_value(name: str, value: object) -> float | None:
    """What a metric gave, as a number, or None; ConfigError where it is neither."""
    if value is None:
        return None
    try:
        number = math.nan if isinstance(value, str | bool) else float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise ConfigError(
            f"the metric {name!r} gave {value!r}", hint="return a finite number, or None where it is not defined"
        )
    return number
