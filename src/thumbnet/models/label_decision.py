"""Where a picture may have several labels, or none: from which logit on each of them is answered. Without PyTorch.

Each label is a question of its own: its probability is the sigmoid of its logit, and it is answered where the logit is
at least a margin, which stands for a probability as in decision.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float64, UInt8

from thumbnet.models.decision import MAX_MARGIN, threshold_of


@dataclass(frozen=True)
class LabelDecision:
    """The margin of each label, in the order of the classes.

    `rule` says how they were picked: `one half`; `f1` or `recall 0.8`, on `num_images` validation images; or `given` by
    the user. Labels whose indices are in `at_half` had too few validation images with them, or without, to pick one.
    """

    margins: tuple[float, ...]
    rule: str = "one half"
    num_images: int = 0
    at_half: tuple[int, ...] = ()

    @property
    def thresholds(self) -> tuple[float, ...]:
        """The probabilities that the margins stand for."""
        return tuple(threshold_of(margin) for margin in self.margins)

    @property
    def is_picked(self) -> bool:
        """Whether the margins were picked on validation images."""
        return self.rule not in ("one half", "given")

    def describe(self, class_names: Sequence[str]) -> str:
        """The rule in words, for people."""
        thresholds = self.thresholds
        if len(set(thresholds)) == 1:
            found = f"each label from a probability of {thresholds[0]:.4g} on"
        else:
            each = (f"{name!r} {value:.4g}" for name, value in zip(class_names, thresholds, strict=True))
            found = f"each label from its own probability on: {', '.join(each)}"
        if not self.is_picked:
            return found
        found = f"{found}; picked by {self.rule} on {self.num_images:,} validation images"
        if not self.at_half:
            return found
        names = ", ".join(repr(class_names[index]) for index in self.at_half)
        these = "this label" if len(self.at_half) == 1 else "these labels"
        return f"{found}, one half for {names}: too few images with or without {these}"


def halves(num_classes: int) -> LabelDecision:
    """Every label from a probability of one half on."""
    return LabelDecision((0.0,) * num_classes)


def chosen_labels(decision: LabelDecision, logits: Float[np.ndarray, "n k"]) -> UInt8[np.ndarray, "n k"]:
    """1 where an image is answered to have a label, else 0."""
    chosen: UInt8[np.ndarray, "n k"] = (logits.astype(np.float64) >= np.array(decision.margins)).astype(np.uint8)
    return chosen


def label_probabilities(logits: Float[np.ndarray, "n k"]) -> Float64[np.ndarray, "n k"]:
    """The sigmoid of each logit, in double precision."""
    powers = np.exp(-np.abs(logits.astype(np.float64)))  # at most 1: nothing overflows
    probabilities: Float64[np.ndarray, "n k"] = np.where(logits >= 0, 1, powers) / (1 + powers)
    return probabilities


def contradiction_of_labels(decision: LabelDecision, *, num_classes: int) -> str:
    """What cannot be true of the label decision of a model with so many classes; an empty text where all can."""
    if len(decision.margins) != num_classes:
        return f"it has {len(decision.margins)} margins for {num_classes} labels"
    for margin in decision.margins:
        if not abs(margin) <= MAX_MARGIN:
            return f"the margin of a label is {margin}"
    if decision.num_images < 0:
        return f"thresholds were picked on {decision.num_images} images"
    if not all(0 <= index < num_classes for index in decision.at_half):
        return "a label that has no threshold of its own is no class"
    return ""
