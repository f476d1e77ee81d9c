"""How sure figures are where images belong together: a bootstrap that draws whole groups.

Images of a group are alike, and so are the answers to them: intervals that take each for an observation of its own are
too narrow. Source: Field and Welsh, "Bootstrapping clustered data" (2007, Journal of the Royal Statistical Society B
69:369), the cluster bootstrap; percentile intervals.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from jaxtyping import Float64, Int64

from thumbnet.evaluation.binary import average_precisions, cumulated, margins_of
from thumbnet.evaluation.class_intervals import ClassIntervals
from thumbnet.evaluation.intervals import Interval
from thumbnet.evaluation.overall import (
    DRAWS_AT_ONCE,
    NUM_DRAWS,
    balanced_accuracies,
    macro_f1s,
    matthews_coefficients,
    percentile_interval,
)
from thumbnet.evaluation.predictions import Predictions

Draws = dict[str, Float64[np.ndarray, " b"]]  # a figure's values, by its name


def group_intervals(
    predictions: Predictions, groups: Int64[np.ndarray, " n"], *, positive: int | None, seed: int = 0
) -> dict[str, tuple[float, float]]:
    """The interval of each figure at CONFIDENCE_LEVEL: accuracy, balanced accuracy, macro F1, Matthews' coefficient; of
    two classes, of which `positive` is one, also the area under the ROC curve and the average precision, unless all
    images are of one.

    Args:
        groups: a number for each image, equal for those of a group.
    """
    return _intervals(_draws(predictions, groups, positive=positive, seed=seed))


def group_class_intervals(
    predictions: Predictions, groups: Int64[np.ndarray, " n"], *, seed: int = 0
) -> tuple[ClassIntervals, ...]:
    """The intervals of each class's metrics, from the same draws as those of the other figures."""
    drawn: dict[str, list[Float64[np.ndarray, "b k"]]] = {"precision": [], "recall": [], "f1": []}
    for weights in group_weights(groups, seed=seed):
        confusions = _confusions(predictions, weights)
        num_right = confusions.diagonal(axis1=1, axis2=2)
        num_answered, num_there = confusions.sum(axis=1), confusions.sum(axis=2)
        drawn["precision"].append(ratios_or_nan(num_right, num_answered))
        drawn["recall"].append(ratios_or_nan(num_right, num_there))
        drawn["f1"].append(ratios_or_nan(2 * num_right, num_answered + num_there))
    bounds = {name: bounds_by_class(np.concatenate(values)) for name, values in drawn.items()}
    return tuple(ClassIntervals(*row) for row in zip(*bounds.values(), strict=True))


def ratios_or_nan(
    numerators: Int64[np.ndarray, "b k"], denominators: Int64[np.ndarray, "b k"]
) -> Float64[np.ndarray, "b k"]:
    """The ratios, NaN where there is nothing to divide by."""
    ratios: Float64[np.ndarray, "b k"] = np.divide(
        numerators, denominators, out=np.full(numerators.shape, np.nan), where=denominators > 0
    )
    return ratios


def bounds_by_class(values: Float64[np.ndarray, "b k"]) -> list[Interval | None]:
    """The interval of each column without its NaN; None where all are."""
    known = [column[~np.isnan(column)] for column in values.T]
    return [percentile_interval(column) if len(column) else None for column in known]


def group_differences(
    first: Predictions,
    second: Predictions,
    groups: Int64[np.ndarray, " n"],
    *,
    positive: int | None,
    seed: int = 0,
) -> dict[str, tuple[float, float]]:
    """The interval of each figure of the second less that of the first, on the same images and the same draws."""
    before, after = (_draws(each, groups, positive=positive, seed=seed) for each in (first, second))
    return _intervals({name: after[name] - values for name, values in before.items()})


def _intervals(draws: Mapping[str, Float64[np.ndarray, " b"]]) -> dict[str, tuple[float, float]]:
    return {name: percentile_interval(values) for name, values in draws.items()}


def _draws(predictions: Predictions, groups: Int64[np.ndarray, " n"], *, positive: int | None, seed: int) -> Draws:
    labels = predictions.labels.numpy()
    has_both_classes = 0 < (labels == positive).sum() < len(labels)
    margins = margins_of(predictions.logits, positive=positive) if positive is not None and has_both_classes else None
    found: dict[str, list[np.ndarray]] = {}
    for weights in group_weights(groups, seed=seed):
        confusions = _confusions(predictions, weights)
        figures = {
            "accuracy": confusions.trace(axis1=1, axis2=2) / confusions.sum(axis=(1, 2)),
            "balanced_accuracy": balanced_accuracies(confusions),
            "macro_f1": macro_f1s(confusions),
            "mcc": matthews_coefficients(confusions),
        }
        if margins is not None:
            is_positive = labels == positive
            num_true, num_false = cumulated(margins, is_positive, weights)
            has_both = (num_true[:, -1] > 0) & (num_false[:, -1] > 0)
            num_true, num_false = num_true[has_both], num_false[has_both]
            pairs = num_true[:, -1] * num_false[:, -1]
            figures["auc"] = np.trapezoid(num_true, num_false, axis=1) / pairs
            figures["average_precision"] = average_precisions(num_true, num_false)
        for name, values in figures.items():
            found.setdefault(name, []).append(values)
    return {name: np.concatenate(values) for name, values in found.items()}


def _confusions(predictions: Predictions, weights: Int64[np.ndarray, "b n"]) -> Int64[np.ndarray, "b k k"]:
    """The confusion matrix of each draw, truth by row."""
    num_classes = predictions.logits.shape[1]
    cells = predictions.labels.numpy() * num_classes + predictions.predicted.numpy()
    counts = np.stack([np.bincount(cells, weights=row, minlength=num_classes**2) for row in weights])
    confusions: Int64[np.ndarray, "b k k"] = counts.astype(np.int64).reshape(-1, num_classes, num_classes)
    return confusions


def group_weights(groups: Int64[np.ndarray, " n"], *, seed: int) -> Iterator[Int64[np.ndarray, "b n"]]:
    """How often each image is drawn, as often as all of its group, for some draws at a time."""
    generator = np.random.default_rng(seed)
    _, codes = np.unique(groups, return_inverse=True)
    num_groups = int(codes.max()) + 1
    shares = np.full(num_groups, 1 / num_groups)
    for _ in range(NUM_DRAWS // DRAWS_AT_ONCE):
        yield generator.multinomial(num_groups, shares, size=DRAWS_AT_ONCE)[:, codes]
