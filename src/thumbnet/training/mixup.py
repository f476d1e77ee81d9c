"""Mixup: batches whose images are blends of two, with the loss of both labels."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.distributions import Beta
from torch.nn import functional as F


@dataclass(frozen=True)
class Mixed:
    """A batch of blends: `share` of each image, the rest of its mirror image in the batch's order."""

    images: Float[Tensor, "n c h w"]
    labels: Int64[Tensor, " n"]
    other_labels: Int64[Tensor, " n"]
    share: float

    def loss(self, logits: Float[Tensor, "n k"], *, label_smoothing: float) -> Float[Tensor, ""]:
        """The mean cross-entropy of both labels, weighted as their images are."""
        first = F.cross_entropy(logits, self.labels, label_smoothing=label_smoothing)
        if self.share == 1:
            return first
        other = F.cross_entropy(logits, self.other_labels, label_smoothing=label_smoothing)
        return torch.lerp(other, first, self.share)

    def num_correct(self, logits: Float[Tensor, "n k"]) -> Int64[Tensor, ""]:
        """Of how many images the label that has the larger share is the one predicted."""
        labels = self.labels if self.share >= 0.5 else self.other_labels
        return (logits.argmax(dim=1) == labels).sum()


def mix(images: Float[Tensor, "n c h w"], labels: Int64[Tensor, " n"], *, alpha: float) -> Mixed:
    """Blend a shuffled batch with itself in reverse order; the share, one a batch, is drawn from Beta(alpha, alpha).

    With `alpha` 0 nothing is mixed. Draws from PyTorch's global generator.
    Source: Zhang et al., "mixup: Beyond Empirical Risk Minimization" (2018, arXiv:1710.09412).
    """
    if alpha == 0:
        return Mixed(images, labels, labels, 1.0)
    share = float(Beta(alpha, alpha).sample())
    return Mixed(torch.lerp(images.flip(0), images, share), labels, labels.flip(0), share)
