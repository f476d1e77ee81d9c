"""How far the metrics of two models differ whose images may have several labels: a bootstrap of the same images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64

from thumbnet.evaluation.label_bootstrap import label_draws
from thumbnet.evaluation.multi_label import LabelEvaluation
from thumbnet.evaluation.overall import percentile_interval

METHOD = "percentile bootstrap of images"


@dataclass(frozen=True)
class FigureDifference:
    """A figure of one model less that of a baseline on the same images, and the interval that holds it at
    CONFIDENCE_LEVEL."""

    difference: float
    low: float
    high: float


def label_differences(
    baseline: LabelEvaluation,
    other: LabelEvaluation,
    groups: Int64[np.ndarray, " n"] | None = None,
    *,
    seed: int = 0,
) -> dict[str, FigureDifference]:
    """Each figure of the other less that of the baseline, on the same images and the same draws."""
    before, after = (label_draws(each.predictions, groups, seed=seed) for each in (baseline, other))
    return {
        name: FigureDifference(other.figures[name] - value, *percentile_interval(after[name] - before[name]))
        for name, value in baseline.figures.items()
        if name in before
    }
