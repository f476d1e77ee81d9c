"""When a model's answer is "unsure": its likeliest class is too improbable. Without PyTorch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

UNSURE = "unsure"  # the answer's text; a class may be called so, too


@dataclass(frozen=True)
class Unsure:
    """The answer is unsure where the likeliest class has a probability below `confidence`.

    Of `num_images` validation images, `num_unsure` lay below, and `error` is the share of these whose likeliest class
    was wrong; the confidence was picked so that answers of less are wrong more often than `most_error`.
    """

    confidence: float
    most_error: float
    num_images: int
    num_unsure: int
    error: float

    def describe(self) -> str:
        """The rule in words, for people."""
        return (
            f"{UNSURE!r} where no class has a probability of {self.confidence:.4g}: of {self.num_images:,} validation "
            f"images {self.num_unsure:,} had none, and of these {self.error:.1%} were wrong"
        )


def unsure_answers(unsure: Unsure | None, probabilities: Float[np.ndarray, "n k"]) -> Bool[np.ndarray, " n"]:
    """Which images are answered so; without the rule none."""
    found: Bool[np.ndarray, " n"]
    if unsure is None:
        found = np.zeros(len(probabilities), bool)
        return found
    found = probabilities.max(axis=1) < unsure.confidence
    return found


def contradiction_of_unsure(unsure: Unsure) -> str:
    """What cannot be true of the rule; an empty text where all can."""
    counts = (unsure.num_unsure, unsure.num_images)
    checks = {
        f"unsure.confidence is {unsure.confidence}": 0 < unsure.confidence < 1,
        f"unsure.most_error is {unsure.most_error}": 0 < unsure.most_error < 1,
        f"unsure.error is {unsure.error}": 0 <= unsure.error <= 1,
        f"{counts[0]} of {counts[1]} images were answered with {UNSURE!r}": 0 < counts[0] <= counts[1],
    }
    return next((reason for reason, holds in checks.items() if not holds), "")
