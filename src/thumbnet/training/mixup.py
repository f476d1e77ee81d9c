"""Mixup: batches whose images are blends of two, with the loss of both targets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.distributions import Beta


@dataclass(frozen=True)
class Targets:
    """A batch's labels, and with a teacher its logits."""

    labels: Int64[Tensor, " n"]
    teacher_logits: Float[Tensor, "n k"] | None = None

    def reversed(self) -> Targets:
        """Those of the batch in reverse order."""
        return Targets(self.labels.flip(0), None if self.teacher_logits is None else self.teacher_logits.flip(0))


@dataclass(frozen=True)
class Mixed:
    """A batch of blends: `share` of each image, the rest of its mirror image in the batch's order."""

    images: Float[Tensor, "n c h w"]
    targets: Targets
    other_targets: Targets
    share: float

    def loss(self, loss_of: Callable[[Targets], Float[Tensor, ""]]) -> Float[Tensor, ""]:
        """The mean of the losses of both targets, weighted as their images are."""
        first = loss_of(self.targets)
        return first if self.share == 1 else torch.lerp(loss_of(self.other_targets), first, self.share)

    def num_correct(self, logits: Float[Tensor, "n k"]) -> Int64[Tensor, ""]:
        """Of how many images the label that has the larger share is the one predicted."""
        larger = self.targets if self.share >= 0.5 else self.other_targets
        return (logits.argmax(dim=1) == larger.labels).sum()


def mix(images: Float[Tensor, "n c h w"], targets: Targets, *, alpha: float) -> Mixed:
    """Blend a shuffled batch with itself in reverse order; the share, one a batch, is drawn from Beta(alpha, alpha).

    With `alpha` 0 nothing is mixed. Draws from PyTorch's global generator.
    Source: Zhang et al., "mixup: Beyond Empirical Risk Minimization" (2018, arXiv:1710.09412).
    """
    if alpha == 0:
        return Mixed(images, targets, targets, 1.0)
    share = float(Beta(alpha, alpha).sample())
    return Mixed(torch.lerp(images.flip(0), images, share), targets, targets.reversed(), share)
