"""Predictions of a split whose images may have several labels, or none."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Float, Int64, UInt8
from torch import Tensor

from thumbnet.evaluation.binary import BinaryCurves, binary_curves
from thumbnet.models.label_decision import LabelDecision, chosen_labels, halves


@dataclass(frozen=True)
class LabelPredictions:
    """Logits float32 [N,K] and labels uint8 [N,K] of a split, on the CPU, in the split's order; and the margins from
    which each label is answered, None: a probability of one half. `decided` is what was answered before; without a
    `decision` by margins that are not known here, or that differ from image to image."""

    logits: Float[Tensor, "n k"]
    labels: UInt8[Tensor, "n k"]
    decision: LabelDecision | None = None
    decided: UInt8[Tensor, "n k"] | None = None

    @cached_property
    def probabilities(self) -> Float[Tensor, "n k"]:
        return self.logits.sigmoid()

    @cached_property
    def predicted(self) -> UInt8[Tensor, "n k"]:
        """1 where a label is answered."""
        if self.decided is not None:
            return self.decided
        decision = halves(self.logits.shape[1]) if self.decision is None else self.decision
        return torch.from_numpy(chosen_labels(decision, self.logits.numpy()))

    @property
    def known_decision(self) -> LabelDecision | None:
        """The margins from which labels are answered; None where they are not known, or differ from image to image."""
        if self.decision is None and self.decided is None:
            return halves(self.logits.shape[1])
        return self.decision

    @cached_property
    def right(self) -> Bool[Tensor, " n"]:
        """Whether all labels of an image are found, and no other."""
        return (self.predicted == self.labels).all(dim=1)

    @cached_property
    def losses(self) -> Float[Tensor, " n"]:
        """The mean over the labels of the negative log-likelihood of their being there or not, image by image."""
        return torch.nn.functional.binary_cross_entropy_with_logits(
            self.logits, self.labels.float(), reduction="none"
        ).mean(dim=1)

    @cached_property
    def confidence(self) -> Float[Tensor, " n"]:
        """The probability of what is answered about the label that is least certain, image by image."""
        return torch.where(self.predicted.bool(), self.probabilities, 1 - self.probabilities).min(dim=1).values

    def curves(self, label: int) -> BinaryCurves | None:
        """The curves of one label: images with it against those without; None where all or none have it."""
        logits = torch.stack([torch.zeros(len(self.logits)), self.logits[:, label]], dim=1)
        return binary_curves(logits, self.labels[:, label].long(), positive=1)


@dataclass(frozen=True)
class StoredLabels:
    """Predictions as a run keeps them, with what was answered, and the images' paths if they have any; in the split's
    order."""

    predictions: LabelPredictions
    paths: tuple[str, ...] | None = None

    def __len__(self) -> int:
        return len(self.predictions.labels)

    @property
    def labels(self) -> UInt8[Tensor, "n k"]:
        return self.predictions.labels

    @property
    def predicted(self) -> UInt8[Tensor, "n k"]:
        return self.predictions.predicted

    @property
    def right(self) -> Bool[Tensor, " n"]:
        return self.predictions.right

    @property
    def confidence(self) -> Float[Tensor, " n"]:
        return self.predictions.confidence


def wrongly_labelled(predictions: LabelPredictions) -> Int64[Tensor, " m"]:
    """Indices of the images of which a label is missed or added, the highest loss first."""
    wrong = (~predictions.right).nonzero().flatten()
    return wrong[predictions.losses[wrong].argsort(descending=True, stable=True)]
