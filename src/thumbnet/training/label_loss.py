"""The loss where an image may have several labels: each is a question of its own, answered by a sigmoid."""

from __future__ import annotations

import math

from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional as F


def label_losses(
    logits: Float[Tensor, "n k"], labels: UInt8[Tensor, "n k"], *, label_smoothing: float = 0.0
) -> Float[Tensor, " n"]:
    """The mean over the labels of the negative log-likelihood of their being there or not, image by image.

    `label_smoothing` is the fraction of each target that is spread evenly over "there" and "not there".
    """
    targets = labels.to(logits.dtype) * (1 - label_smoothing) + label_smoothing / 2
    return F.binary_cross_entropy_with_logits(logits, targets, reduction="none").mean(dim=1)


def gradient_scale(num_labels: int) -> float:
    """By which the loss is multiplied before its gradient is taken: in the logits of an untrained network that is then
    1 long, as with cross-entropy, however many labels there are, so that learning rates keep their meaning."""
    return 2 * math.sqrt(num_labels)
