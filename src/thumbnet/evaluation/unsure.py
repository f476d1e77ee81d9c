"""From which confidence on a model's answers count: below it, validation says that they are wrong too often."""

from __future__ import annotations

import numpy as np

from thumbnet.evaluation.calibration import MIN_TEMPERATURE_IMAGES
from thumbnet.evaluation.intervals import accuracy_interval
from thumbnet.evaluation.predictions import Predictions
from thumbnet.evaluation.refused import Refusals, refusals
from thumbnet.models.unsure import Unsure, unsure_answers

MIN_IMAGES = MIN_TEMPERATURE_IMAGES  # for validation: of fewer, no such curve is known
MIN_UNSURE = 20  # of these below the confidence, else nothing is known of their error


def pick_unsure(held_out: Predictions, most_error: float) -> Unsure | None:
    """The confidence below which answers are wrong more often than `most_error`, a fraction, judged on images that the
    model was not trained on.

    The share of right answers is fitted as a function of confidence that nowhere falls (isotonic regression), and the
    confidence lies midway between those of two images. None where there are fewer than MIN_IMAGES images or
    MIN_UNSURE below the confidence, or where the 95 % interval of their error reaches down to the error of all.
    """
    from scipy.optimize import isotonic_regression

    num_images = len(held_out.labels)
    if num_images < MIN_IMAGES:
        return None
    probabilities = held_out.logits.double().softmax(dim=1).numpy()
    confidence = probabilities.max(axis=1)
    right = (probabilities.argmax(axis=1) == held_out.labels.numpy()).astype(np.float64)
    order = np.argsort(confidence, kind="stable")
    confidence, right = confidence[order], right[order]
    _, places, counts = np.unique(confidence, return_inverse=True, return_counts=True)
    fitted = isotonic_regression(np.bincount(places, weights=right) / counts, weights=counts).x[places]
    num_unsure = int((fitted < 1 - most_error).sum())  # the first ones, since it nowhere falls
    if num_unsure < MIN_UNSURE or num_unsure == num_images:
        return None
    wrong = 1 - right[:num_unsure]
    low, _ = accuracy_interval(float(wrong.mean()), num_unsure)
    if low <= 1 - right.mean():
        return None
    between = float(confidence[num_unsure - 1] + confidence[num_unsure]) / 2
    if between >= 1:  # as the model is of nearly all answers, right or wrong
        return None
    return Unsure(between, most_error, num_images, num_unsure, float(wrong.mean()))


def when_sure(predictions: Predictions, unsure: Unsure) -> Refusals:
    """How a model with this rule does on a split."""
    is_unsure = unsure_answers(unsure, predictions.logits.double().softmax(dim=1).numpy())
    right = (predictions.predicted == predictions.labels).numpy()
    return refusals(is_unsure, right)
