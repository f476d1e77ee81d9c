"""How sure metrics of several labels are: a bootstrap of images, or of whole groups of them; percentile intervals.

Source: Efron and Tibshirani, "An Introduction to the Bootstrap" (1993), chapter 13; for groups see group_bootstrap.py.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float64, Int64

from thumbnet.evaluation.binary import average_precisions, cumulated
from thumbnet.evaluation.class_intervals import ClassIntervals
from thumbnet.evaluation.group_bootstrap import bounds_by_class, group_weights, ratios_or_nan
from thumbnet.evaluation.label_predictions import LabelPredictions


def label_class_intervals(
    predictions: LabelPredictions, groups: Int64[np.ndarray, " n"], *, seed: int = 0
) -> tuple[ClassIntervals, ...]:
    """The intervals of each label's precision, recall and F1, from the same draws as those of the other figures."""
    drawn: dict[str, list[Float64[np.ndarray, "b k"]]] = {"precision": [], "recall": [], "f1": []}
    for weights in group_weights(groups, seed=seed):
        found, wrong, missed = _counts(predictions, weights)
        drawn["precision"].append(ratios_or_nan(found, found + wrong))
        drawn["recall"].append(ratios_or_nan(found, found + missed))
        drawn["f1"].append(ratios_or_nan(2 * found, 2 * found + wrong + missed))
    bounds = {name: bounds_by_class(np.concatenate(values)) for name, values in drawn.items()}
    return tuple(ClassIntervals(*row) for row in zip(*bounds.values(), strict=True))


def label_draws(
    predictions: LabelPredictions, groups: Int64[np.ndarray, " n"] | None, *, seed: int
) -> dict[str, Float64[np.ndarray, " b"]]:
    """The values of each figure; the mean average precision is left out where no label has images with and without."""
    own = np.arange(len(predictions.labels)) if groups is None else groups
    found: dict[str, list[np.ndarray]] = {}
    for weights in group_weights(own, seed=seed):
        figures = {**_figures(predictions, weights), "mean_average_precision": _mean_precisions(predictions, weights)}
        for name, values in figures.items():
            found.setdefault(name, []).append(values)
    draws = {name: np.concatenate(values) for name, values in found.items()}
    return {name: values for name, values in draws.items() if np.isfinite(values).all()}


def _figures(predictions: LabelPredictions, weights: Int64[np.ndarray, "b n"]) -> Mapping[str, np.ndarray]:
    """What follows from the answers, of images that are drawn so often."""
    found, wrong, missed = _counts(predictions, weights)
    num_images = weights.sum(axis=1)
    of_labels = _f1(found, wrong + missed)
    is_there = found + wrong + missed > 0
    return {
        "accuracy": weights @ predictions.right.numpy().astype(np.int64) / num_images,
        "micro_f1": _f1(found.sum(axis=1), (wrong + missed).sum(axis=1)),
        "macro_f1": of_labels.sum(axis=1) / np.maximum(1, is_there.sum(axis=1)),
        "hamming_loss": (wrong + missed).sum(axis=1) / (num_images * found.shape[1]),
    }


def _counts(
    predictions: LabelPredictions, weights: Int64[np.ndarray, "b n"]
) -> tuple[Int64[np.ndarray, "b k"], Int64[np.ndarray, "b k"], Int64[np.ndarray, "b k"]]:
    """Of each label: found, answered wrongly, missed."""
    truth, answered = predictions.labels.numpy() == 1, predictions.predicted.numpy() == 1
    pairs = (truth & answered, ~truth & answered, truth & ~answered)
    found, wrong, missed = (weights @ each.astype(np.int64) for each in pairs)
    return found, wrong, missed


def _f1(found: Int64[np.ndarray, "*b"], mistaken: Int64[np.ndarray, "*b"]) -> Float64[np.ndarray, "*b"]:
    """F1 of numbers found, and missed or answered wrongly; 0 where all are 0."""
    scores: Float64[np.ndarray, "*b"] = np.asarray(2 * found / np.maximum(1, 2 * found + mistaken), np.float64)
    return scores


def _mean_precisions(predictions: LabelPredictions, weights: Int64[np.ndarray, "b n"]) -> Float64[np.ndarray, " b"]:
    """The mean average precision over the labels that some drawn images have and others have not; NaN where there is
    no such label."""
    sums, counts = np.zeros(len(weights)), np.zeros(len(weights))
    logits, labels = predictions.logits.double().numpy(), predictions.labels.numpy() == 1
    for label in range(labels.shape[1]):
        num_true, num_false = cumulated(logits[:, label], labels[:, label], weights)
        has_both = (num_true[:, -1] > 0) & (num_false[:, -1] > 0)
        sums[has_both] += average_precisions(num_true[has_both], num_false[has_both])
        counts += has_both
    means: Float64[np.ndarray, " b"] = np.divide(sums, counts, out=np.full(len(weights), np.nan), where=counts > 0)
    return means
