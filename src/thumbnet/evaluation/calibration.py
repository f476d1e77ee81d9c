"""How far a model's probabilities can be trusted: reliability, temperature, and accuracy where it may abstain."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, Int64
from torch.nn import functional as F

from thumbnet.evaluation.calibration_interval import calibration_interval
from thumbnet.evaluation.clustered_shares import clustered_interval
from thumbnet.evaluation.intervals import Interval, accuracy_interval, widest
from thumbnet.evaluation.predictions import Predictions

MIN_TEMPERATURE_IMAGES = 200  # to fit one on: of fewer, it made calibration worse on real data
SHOWN_COVERAGES = (1.0, 0.95, 0.9, 0.8, 0.7, 0.5)
NUM_BINS = 15  # of equal width, as in the paper
MIN_TEMPERATURE, MAX_TEMPERATURE = 0.05, 20.0
AT_BOUND = 1e-3  # in the logarithm


@dataclass(frozen=True)
class ReliabilityBin:
    """The images whose confidence is above `low` and at most `high`: how many, their mean confidence and accuracy
    (None if there are none)."""

    low: float
    high: float
    num_images: int
    confidence: float | None
    accuracy: float | None

    @property
    def accuracy_interval(self) -> Interval | None:
        """Wilson's, at CONFIDENCE_LEVEL."""
        return None if self.accuracy is None else accuracy_interval(self.accuracy, self.num_images)


@dataclass(frozen=True)
class Calibration:
    """The reliability curve, and its expected calibration error: the mean gap of the bins, weighted by images; with its
    interval at CONFIDENCE_LEVEL.

    Source: Guo et al., "On Calibration of Modern Neural Networks" (2017, arXiv:1706.04599).
    """

    bins: tuple[ReliabilityBin, ...]
    error: float
    interval: Interval


def calibrate(
    predictions: Predictions, *, num_bins: int = NUM_BINS, groups: Int64[np.ndarray, " n"] | None = None
) -> Calibration:
    """How well confidence, the probability of the predicted class, foretells accuracy, in bins of equal width.

    Args:
        groups: a number for each image, equal for those that belong together; the error's interval is then nowhere
            narrower than by whole groups.
    """
    confidence = predictions.confidence.double().numpy()
    right, images = (predictions.predicted == predictions.labels).numpy(), np.arange(len(confidence))
    observations = (images,) if groups is None else (images, groups)
    return reliability(confidence, right, num_bins=num_bins, observations=observations)


def reliability(
    confidence: Float64[np.ndarray, " n"],
    right: Bool[np.ndarray, " n"],
    *,
    observations: Sequence[Int64[np.ndarray, " n"]],
    num_bins: int = NUM_BINS,
) -> Calibration:
    """How well probabilities foretell what comes true, in bins of equal width.

    Args:
        observations: numbers that are equal where probabilities belong to one observation (an image, a group of
            images); of several such numberings, the error's interval is the widest.
    """
    edges = np.linspace(0.0, 1.0, num_bins + 1)
    places = np.clip(np.digitize(confidence, edges, right=True) - 1, 0, num_bins - 1)
    bins, error = [], 0.0
    for index in range(num_bins):
        inside = places == index
        count = int(inside.sum())
        mean_confidence, accuracy = (float(x[inside].mean()) if count else None for x in (confidence, right))
        bins.append(ReliabilityBin(float(edges[index]), float(edges[index + 1]), count, mean_confidence, accuracy))
        if mean_confidence is not None and accuracy is not None:
            error += count / len(confidence) * abs(accuracy - mean_confidence)
    spans = [_error_interval(confidence - right, places, bins, error, numbers) for numbers in observations]
    return Calibration(tuple(bins), error, widest(*spans))


def _error_interval(
    gaps: Float64[np.ndarray, " n"],
    places: Int64[np.ndarray, " n"],
    bins: Sequence[ReliabilityBin],
    error: float,
    numbers: Int64[np.ndarray, " n"],
) -> Interval:
    """That of a calibration error, from the gap of each probability and the place of its bin."""
    _, codes = np.unique(numbers, return_inverse=True)
    num_all, num_observations = len(gaps), int(codes.max()) + 1
    cells = codes * len(bins) + places
    sums = np.bincount(cells, weights=gaps / num_all, minlength=num_observations * len(bins))
    is_filled = np.array([each.confidence is not None for each in bins])
    confidence = np.array([each.confidence or 0.0 for each in bins])
    of_either_truth = is_filled / is_filled.sum() * ((1 - confidence) ** 2 + confidence**2) / 2
    one_more = of_either_truth / (num_all * num_observations)
    return calibration_interval(sums.reshape(num_observations, len(bins)), error, one_more=one_more)


def fit_temperature(predictions: Predictions) -> float | None:
    """The number to divide logits by, for the lowest loss on these predictions: of images the model was not trained on,
    nor is scored on. Above 1 the model was too sure of itself, below 1 too modest. None where none is best, since the
    loss falls on and on towards 0 or infinity: where all predictions are right, for instance. Source: as `Calibration`.
    """
    from scipy.optimize import minimize_scalar

    logits, labels = predictions.logits.double(), predictions.labels

    def loss(log_temperature: float) -> float:
        return float(F.cross_entropy(logits / math.exp(log_temperature), labels))

    bounds = math.log(MIN_TEMPERATURE), math.log(MAX_TEMPERATURE)
    found = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-5})
    best = float(found.x)
    is_at_bound = min(loss(bound) for bound in bounds) <= float(found.fun)
    return None if is_at_bound or min(abs(best - bound) for bound in bounds) < AT_BOUND else math.exp(best)


def at_temperature(predictions: Predictions, temperature: float) -> Predictions:
    """The same predictions with softer (above 1) or sharper probabilities; the answers stay."""
    return Predictions(predictions.logits / temperature, predictions.labels, predictions.decided)


@dataclass(frozen=True)
class Coverage:
    """What if the model may abstain where it is least confident: the accuracy on the share `coverage` of the images it
    answers, the most confident first. In this order `right` is 1 of each image whose answer is, else 0; `groups` has a
    number for each, equal for those that belong together, None where each is for itself."""

    coverage: Float[np.ndarray, " n"]
    accuracy: Float[np.ndarray, " n"]
    right: Float64[np.ndarray, " n"]
    groups: Int64[np.ndarray, " n"] | None = None

    def accuracy_at(self, coverage: float) -> float:
        """Answering at least this share of the images, from above 0 to 1."""
        return float(self.accuracy[self._place(coverage)])

    def interval_at(self, coverage: float) -> Interval:
        """That of the accuracy, at CONFIDENCE_LEVEL: Wilson's, of the images that are answered; by whole groups where
        some belong together."""
        num_answered = self._place(coverage) + 1
        if self.groups is None:
            return accuracy_interval(self.accuracy_at(coverage), num_answered)
        return clustered_interval(self.right[:num_answered], self.groups[:num_answered])

    def _place(self, coverage: float) -> int:
        return int(np.searchsorted(self.coverage, coverage - 1e-12))


def cover(predictions: Predictions, groups: Int64[np.ndarray, " n"] | None = None) -> Coverage:
    """Accuracy against coverage, one point for each image that is let in; `groups` as in `calibrate`."""
    order = predictions.confidence.argsort(descending=True, stable=True)
    right = (predictions.predicted == predictions.labels)[order].double()
    answered = torch.arange(1, len(order) + 1, dtype=torch.float64)
    return Coverage(
        (answered / len(order)).numpy(),
        (right.cumsum(0) / answered).numpy(),
        right.numpy(),
        None if groups is None else groups[order.numpy()],
    )
