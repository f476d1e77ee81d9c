"""How a model does that may answer none of its classes: how often it refuses to, and how often the others are right."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool

from thumbnet.evaluation.intervals import Interval, accuracy_interval, share_interval


@dataclass(frozen=True)
class Refusals:
    """Of a split: how many images there are, how many of them are answered with a class, and how many of these right.
    The intervals are Wilson's, at CONFIDENCE_LEVEL."""

    num_images: int
    num_answered: int
    num_right: int

    @property
    def share(self) -> float:
        """Of the images that are answered with no class."""
        return (self.num_images - self.num_answered) / self.num_images

    @property
    def share_interval(self) -> Interval:
        return accuracy_interval(self.share, self.num_images)

    @property
    def accuracy(self) -> float | None:
        """On the images that are answered with a class; None where there are none."""
        return self.num_right / self.num_answered if self.num_answered else None

    @property
    def accuracy_interval(self) -> Interval | None:
        return share_interval(self.num_right, self.num_answered)

    def named(self, *, refused: str, answered: str) -> dict[str, object]:
        """Plain values for JSON, as `share_unsure` and `accuracy_when_sure` where these words are given."""
        return {
            f"share_{refused}": self.share,
            f"share_{refused}_interval": self.share_interval,
            f"accuracy_when_{answered}": self.accuracy,
            f"accuracy_when_{answered}_interval": self.accuracy_interval,
        }


def refusals(is_refused: Bool[np.ndarray, " n"], right: Bool[np.ndarray, " n"]) -> Refusals:
    """From what is refused of a split's images, and what of them the likeliest class is right of."""
    return Refusals(len(right), int((~is_refused).sum()), int(right[~is_refused].sum()))
