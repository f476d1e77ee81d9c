"""How a model's logits become an answer: the likeliest class, or of two classes the one that a threshold gives. Without
PyTorch.

What is compared with a threshold is the margin, the positive class's logit less the other's: probabilities near 0 and 1
are equal where margins still differ.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Float64, Int64

MAX_MARGIN = 1e9  # of a card, so that every export can hold it
MAX_ROUNDING = 1e-6  # by which threshold and margin of a card may differ


@dataclass(frozen=True)
class Decision:
    """Of two classes, `positive` (an index) is answered where its logit less the other's is at least `margin`, which is
    where its probability is at least `threshold`.

    `rule` says how it was picked: `f1`, `recall 0.8`, `costs`, or `given` by the user. It was picked on `num_images`
    validation images, `num_positives` of them of the positive class, and `measured` are the metrics at the threshold on
    these; none where it was given and no image is held out.
    """

    positive: int
    threshold: float
    margin: float
    rule: str
    num_images: int = 0
    num_positives: int = 0
    measured: Mapping[str, float] = field(default_factory=dict)

    def describe(self, class_names: Sequence[str]) -> str:
        """The rule in words, for people."""
        name, images = class_names[self.positive], f"{self.num_images:,} validation images"
        picked = "as given" if self.rule == "given" else f"picked by {self.rule} on {images}"
        return f"{name!r} from a probability of {self.threshold:.4g} on, {picked}"


def margin_of(threshold: float) -> float:
    """The margin that stands for a probability above 0 and below 1."""
    return math.log(threshold) - math.log1p(-threshold)


def threshold_of(margin: float) -> float:
    """The probability that stands for a margin."""
    if margin >= 0:
        return 1 / (1 + math.exp(-margin))
    power = math.exp(margin)
    return power / (1 + power)


def chosen_classes(decision: Decision | None, logits: Float[np.ndarray, "n k"]) -> Int64[np.ndarray, " n"]:
    """The class that each image is answered with; without a decision that with the highest logit."""
    chosen: Int64[np.ndarray, " n"]
    if decision is None:
        chosen = logits.argmax(axis=1).astype(np.int64)
        return chosen
    positive, other = decision.positive, 1 - decision.positive
    exact = logits.astype(np.float64)
    chosen = np.where(exact[:, positive] - exact[:, other] >= decision.margin, positive, other).astype(np.int64)
    return chosen


def moved_by(decision: Decision) -> Float64[np.ndarray, " k"]:
    """What is added to the logits so that the likelier class is the answer; one half then stands for the threshold."""
    return np.array([-decision.margin if index == decision.positive else 0.0 for index in range(2)])


def ranked_classes(
    decision: Decision | None, logits: Float[np.ndarray, "n k"], probabilities: Float[np.ndarray, "n k"]
) -> Int64[np.ndarray, "n k"]:
    """All classes of each image: the one that it is answered with, then the others, most probable first."""
    if decision is None:
        return np.argsort(-probabilities, axis=1, kind="stable").astype(np.int64)
    chosen = chosen_classes(decision, logits)
    return np.stack([chosen, 1 - chosen], axis=1)


def contradiction_of(decision: Decision, *, num_classes: int) -> str:
    """What cannot be true of the decision of a model with so many classes; an empty text where all can."""
    threshold, counts = decision.threshold, (decision.num_positives, decision.num_images)
    checks = {
        f"it has a threshold for {num_classes} classes": num_classes == 2,
        f"the threshold's class is {decision.positive}": decision.positive in (0, 1),
        f"the threshold's margin is {decision.margin}": abs(decision.margin) <= MAX_MARGIN,
        f"threshold is {threshold}, but margin is {decision.margin}": (
            abs(threshold_of(decision.margin) - threshold) <= MAX_ROUNDING
        ),
        f"a threshold was picked on {counts[0]} of {counts[1]} images": 0 <= counts[0] <= counts[1],
    }
    return next((reason for reason, holds in checks.items() if not holds), "")
