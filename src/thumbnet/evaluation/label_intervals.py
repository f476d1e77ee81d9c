"""How sure metrics over all labels are of images that may have several, or none."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64, Int64

from thumbnet.evaluation.binary_intervals import average_precision_interval, certain_precision_interval
from thumbnet.evaluation.clustered_shares import clustered_interval
from thumbnet.evaluation.influence_intervals import influence_interval, precision_influences, ratio_influences
from thumbnet.evaluation.intervals import Interval, f1_interval
from thumbnet.evaluation.label_predictions import LabelPredictions


def label_intervals(
    predictions: LabelPredictions, groups: Int64[np.ndarray, " n"] | None = None
) -> dict[str, Interval]:
    """The interval of each of `LabelEvaluation.figures`, at CONFIDENCE_LEVEL; the labels of an image are judged
    together.

    Accuracy and Hamming loss are shares of the images and of their labels; the others go by what each image adds to
    them.

    Args:
        groups: a number for each image, equal for those of a group; None: each image is one of its own.
    """
    truth, answered = predictions.labels.numpy() == 1, predictions.predicted.numpy() == 1
    twice_found = 2.0 * (truth & answered)
    sizes = truth.astype(np.float64) + answered
    images = np.arange(len(truth)) if groups is None else groups
    is_there = sizes.any(axis=0)
    micro = ratio_influences(twice_found.sum(axis=1), sizes.sum(axis=1)) if is_there.any() else np.zeros(len(truth))
    by_label = [ratio_influences(twice_found[:, label], sizes[:, label]) for label in np.flatnonzero(is_there)]
    all_alike = f1_interval(int((truth & answered).sum()), int(answered.sum()), int(truth.sum())) or (0.0, 1.0)
    f1s = twice_found.sum(axis=0)[is_there] / sizes.sum(axis=0)[is_there]
    of_all = float(twice_found.sum() / max(1.0, sizes.sum()))
    intervals = {
        "accuracy": clustered_interval(predictions.right.double().numpy(), images),
        "micro_f1": influence_interval(of_all, micro, if_certain=all_alike, groups=groups),
        "macro_f1": influence_interval(
            float(f1s.mean()) if len(f1s) else 0.0, _mean(by_label, micro), if_certain=all_alike, groups=groups
        ),
        "hamming_loss": clustered_interval((truth != answered).mean(axis=1), images, num_parts=truth.shape[1]),
    }
    mean_precision = _mean_precision_interval(predictions, groups)
    return intervals if mean_precision is None else {**intervals, "mean_average_precision": mean_precision}


def label_precision_intervals(
    predictions: LabelPredictions, groups: Int64[np.ndarray, " n"] | None = None
) -> tuple[Interval | None, ...]:
    """The interval of each label's average precision, at CONFIDENCE_LEVEL; None where all images have it, or none."""
    logits, labels = predictions.logits.double().numpy(), predictions.labels.numpy() == 1
    return tuple(
        average_precision_interval(logits[:, label], labels[:, label], groups)
        if 0 < labels[:, label].sum() < len(labels)
        else None
        for label in range(labels.shape[1])
    )


def _mean_precision_interval(predictions: LabelPredictions, groups: Int64[np.ndarray, " n"] | None) -> Interval | None:
    """Over the labels that some images have and others have not; None where there is no such label."""
    logits, labels = predictions.logits.double().numpy(), predictions.labels.numpy() == 1
    num_there = labels.sum(axis=0)
    known = np.flatnonzero((num_there > 0) & (num_there < len(labels)))
    if not len(known):
        return None
    averages = [curves.average_precision for curves in map(predictions.curves, known.tolist()) if curves is not None]
    influences = [precision_influences(logits[:, label], labels[:, label]) for label in known]
    smallest = int(np.minimum(num_there, len(labels) - num_there)[known].min())
    return influence_interval(
        float(np.mean(averages)),
        _mean(influences, influences[0]),
        if_certain=certain_precision_interval(smallest),
        groups=groups,
    )


def _mean(influences: list[Float64[np.ndarray, " n"]], if_none: Float64[np.ndarray, " n"]) -> Float64[np.ndarray, " n"]:
    mean: Float64[np.ndarray, " n"] = np.mean(influences, axis=0) if influences else if_none
    return mean
