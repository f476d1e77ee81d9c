"""Two classes: how many images of each are answered as the positive class, threshold by threshold.

What is compared with a threshold is the margin, the positive class's logit less the other's: probabilities of float32
are equal near 0 and 1 where margins still differ. A threshold is shown as the probability that stands for its margin.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
from jaxtyping import Bool, Float, Float64, Int64
from torch import Tensor

from thumbnet.evaluation.class_intervals import class_intervals
from thumbnet.evaluation.intervals import Interval, share_interval


@dataclass(frozen=True)
class OperatingPoint:
    """How images of two classes are answered at one threshold, a probability of the positive class.

    `precision` is 0 where nothing is answered as positive, and `f1` then, too.
    """

    threshold: float
    num_true_positives: int
    num_false_positives: int
    num_false_negatives: int
    num_true_negatives: int

    @property
    def num_images(self) -> int:
        return self.num_true_positives + self.num_false_positives + self.num_false_negatives + self.num_true_negatives

    @property
    def precision(self) -> float:
        answered = self.num_true_positives + self.num_false_positives
        return self.num_true_positives / answered if answered else 0.0

    @property
    def recall(self) -> float:
        return self.num_true_positives / (self.num_true_positives + self.num_false_negatives)

    @property
    def specificity(self) -> float:
        """The recall of the other class."""
        return self.num_true_negatives / (self.num_true_negatives + self.num_false_positives)

    @property
    def f1(self) -> float:
        wrong = self.num_false_positives + self.num_false_negatives
        return 2 * self.num_true_positives / (2 * self.num_true_positives + wrong)

    @property
    def accuracy(self) -> float:
        return (self.num_true_positives + self.num_true_negatives) / self.num_images

    def intervals(self) -> dict[str, Interval | None]:
        """The interval of each metric by its name, at CONFIDENCE_LEVEL: Wilson's. That of the precision is None where
        nothing is answered as positive."""
        num_right, num_negatives = self.num_true_positives, self.num_true_negatives + self.num_false_positives
        own = class_intervals(num_right, num_right + self.num_false_positives, num_right + self.num_false_negatives)
        return {
            "precision": own.precision,
            "recall": own.recall,
            "specificity": share_interval(self.num_true_negatives, num_negatives),
            "f1": own.f1,
            "accuracy": share_interval(num_right + self.num_true_negatives, self.num_images),
        }

    def to_dict(self) -> dict[str, object]:
        """Counts and metrics with their intervals, as plain values."""
        intervals = self.intervals()
        return {**asdict(self), **{name: getattr(self, name) for name in intervals}, "intervals": intervals}

    def cost(self, *, missed: float, false_alarm: float) -> float:
        """The cost of all wrong answers: `missed` for each positive image, `false_alarm` for each other one."""
        return missed * self.num_false_negatives + false_alarm * self.num_false_positives


@dataclass(frozen=True)
class BinaryCurves:
    """The answers at every threshold that makes a difference, from the highest, at which no image is positive, down.

    `positive` is the class. At `thresholds[i]`, a probability, `num_true[i]` of the `num_positives` images of that
    class and `num_false[i]` of the `num_negatives` others are answered as positive: those whose margin is at least
    `margins[i]` (infinity for the first). `auc` is the area under the ROC curve; `average_precision` the mean precision
    over the positive images, each taken at the threshold that just finds it (the curve's area in steps).
    """

    positive: int
    thresholds: Float64[np.ndarray, " t"]
    num_true: Int64[np.ndarray, " t"]
    num_false: Int64[np.ndarray, " t"]
    num_positives: int
    num_negatives: int
    auc: float
    average_precision: float
    margins: Float64[np.ndarray, " t"]

    def at(self, threshold: float) -> OperatingPoint:
        """The answers at a probability above 0 and below 1."""
        from scipy.special import logit

        return self.at_margin(float(logit(threshold)))

    def at_margin(self, margin: float) -> OperatingPoint:
        """The answers where images with at least this margin are positive."""
        from scipy.special import expit

        last = int(np.searchsorted(-self.margins, -margin, side="right")) - 1
        return self._point(last, threshold=float(expit(margin)))

    def points(self) -> list[OperatingPoint]:
        """The answers at each of `thresholds`."""
        return [self._point(index, threshold=float(value)) for index, value in enumerate(self.thresholds)]

    def _point(self, index: int, *, threshold: float) -> OperatingPoint:
        num_true, num_false = int(self.num_true[index]), int(self.num_false[index])
        return OperatingPoint(
            threshold=threshold,
            num_true_positives=num_true,
            num_false_positives=num_false,
            num_false_negatives=self.num_positives - num_true,
            num_true_negatives=self.num_negatives - num_false,
        )


def margins_of(logits: Float[Tensor, "n 2"], *, positive: int) -> Float64[np.ndarray, " n"]:
    """The positive class's logit less the other's, exact for logits of float32."""
    exact = logits.double().numpy()
    margins: Float64[np.ndarray, " n"] = exact[:, positive] - exact[:, 1 - positive]
    return margins


def rarer_class(labels: Int64[Tensor, " n"]) -> int:
    """Of two classes that with fewer images; the second where both have as many."""
    num_second = int(labels.sum())
    return 1 if num_second <= len(labels) - num_second else 0


def binary_curves(logits: Float[Tensor, "n 2"], labels: Int64[Tensor, " n"], *, positive: int) -> BinaryCurves | None:
    """The curves of images of two classes; None where all images are of one."""
    from scipy.special import expit

    margins, is_positive = margins_of(logits, positive=positive), (labels == positive).numpy()
    num_positives = int(is_positive.sum())
    num_negatives = len(is_positive) - num_positives
    if not num_positives or not num_negatives:
        return None
    order = np.argsort(-margins, kind="stable")
    last_of_each = np.append(np.flatnonzero(np.diff(margins[order])), len(order) - 1)
    num_true = np.append(0, np.cumsum(is_positive[order])[last_of_each]).astype(np.int64)
    num_false = np.append(0, np.cumsum(~is_positive[order])[last_of_each]).astype(np.int64)
    distinct = np.append(np.inf, margins[order][last_of_each])
    return BinaryCurves(
        positive=positive,
        thresholds=expit(distinct),
        num_true=num_true,
        num_false=num_false,
        num_positives=num_positives,
        num_negatives=num_negatives,
        auc=float(np.trapezoid(num_true, num_false) / (num_positives * num_negatives)),
        average_precision=float(average_precisions(num_true[None], num_false[None])[0]),
        margins=distinct,
    )


def average_precisions(
    num_true: Int64[np.ndarray, "b t"], num_false: Int64[np.ndarray, "b t"]
) -> Float64[np.ndarray, " b"]:
    """The average precision of curves whose counts begin with 0 and end with all images."""
    answered = num_true + num_false
    precision = np.divide(num_true, answered, out=np.zeros(answered.shape), where=answered > 0)
    steps = np.diff(num_true, axis=1) / num_true[:, -1:]
    averages: Float64[np.ndarray, " b"] = (steps * precision[:, 1:]).sum(axis=1)
    return averages


def cumulated(
    margins: Float64[np.ndarray, " n"], is_positive: Bool[np.ndarray, " n"], weights: Int64[np.ndarray, "b n"]
) -> tuple[Int64[np.ndarray, "b t"], Int64[np.ndarray, "b t"]]:
    """At each threshold that makes a difference, the images of the positive class that are answered so, and of the
    others; each counts as often as its weight says."""
    order = np.argsort(-margins, kind="stable")
    last_of_each = np.append(np.flatnonzero(np.diff(margins[order])), len(order) - 1)
    counts = []
    for of_class in (is_positive, ~is_positive):
        sums = np.cumsum((weights * of_class)[:, order], axis=1)[:, last_of_each]
        counts.append(np.concatenate([np.zeros((len(weights), 1), np.int64), sums], axis=1))
    return counts[0], counts[1]
