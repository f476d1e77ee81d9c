"""Mixup: batches whose images are blends of two, with the loss of both targets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor
from torch.distributions import Beta


@dataclass(frozen=True)
class Targets:
    """A batch's labels, and with a teacher its logits."""

    labels: Int64[Tensor, " n"] | UInt8[Tensor, "n k"]
    teacher_logits: Float[Tensor, "n k"] | None = None

    def reversed(self) -> Targets:
        """Those of the batch in reverse order."""
        return Targets(self.labels.flip(0), None if self.teacher_logits is None else self.teacher_logits.flip(0))

    def between(self, first: int, last: int | None) -> Targets:
        """Those of the images from `first` to below `last`; None: to the end."""
        logits = self.teacher_logits
        return Targets(self.labels[first:last], None if logits is None else logits[first:last])


@dataclass(frozen=True)
class Mixed:
    """A batch of blends: image i is `lam * x[i] + (1 - lam) * x[n-1-i]`."""

    images: Float[Tensor, "n c h w"]
    targets: Targets
    other_targets: Targets
    lam: float

    def loss(self, loss_of: Callable[[Targets], Float[Tensor, "..."]]) -> Float[Tensor, "..."]:
        """The mean of the losses of both targets, weighted as their images are; of a batch or image by image."""
        first = loss_of(self.targets)
        return first if self.lam == 1 else torch.lerp(loss_of(self.other_targets), first, self.lam)

    @property
    def labels(self) -> Int64[Tensor, " n"] | UInt8[Tensor, "n k"]:
        """Of each image the label, or all labels, with the larger weight."""
        return (self.targets if self.lam >= 0.5 else self.other_targets).labels

    def num_correct(self, logits: Float[Tensor, "n k"]) -> Int64[Tensor, ""]:
        """The number of images whose predicted class is the label with the larger weight; of several labels, those of
        which all are found, at a probability of one half, and no other."""
        if self.labels.ndim == 2:
            return ((logits >= 0) == self.labels.bool()).all(dim=1).sum()
        return (logits.argmax(dim=1) == self.labels).sum()


def sample_lam(alpha: float, generator: torch.Generator) -> float:
    """What `mix` samples from PyTorch's global generator, were that in the state of this one, which goes on."""
    own = torch.get_rng_state()
    torch.set_rng_state(generator.get_state())
    try:
        return float(Beta(alpha, alpha).sample())
    finally:
        generator.set_state(torch.get_rng_state())
        torch.set_rng_state(own)


def mix(images: Float[Tensor, "n c h w"], targets: Targets, *, alpha: float) -> Mixed:
    """Blend a shuffled batch with itself in reverse order; `lam`, one a batch, is sampled from Beta(alpha, alpha).

    With `alpha` 0 nothing is mixed. Samples from PyTorch's global generator.
    Source: Zhang et al., "mixup: Beyond Empirical Risk Minimization" (2018, arXiv:1710.09412).
    """
    if alpha == 0:
        return Mixed(images, targets, targets, 1.0)
    lam = float(Beta(alpha, alpha).sample())
    return Mixed(torch.lerp(images.flip(0), images, lam), targets, targets.reversed(), lam)
