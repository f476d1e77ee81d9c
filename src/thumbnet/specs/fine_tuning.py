"""How a training goes on from trained weights, as a value."""

from __future__ import annotations

from dataclasses import dataclass

from thumbnet.specs.checks import require


@dataclass(frozen=True, kw_only=True)
class FineTuning:
    """The model's weights are trained already: what it would compute from training images before the first step, as
    whitening is, stays as it is.

    Args:
        body_lr_factor: multiplies the learning rate of all but the layer called `head`; 0: they stay as they are, their
            normalisation too, and are computed by PyTorch.

    Raises:
        ConfigError: the factor is not from 0 to 1.
    """

    body_lr_factor: float = 1.0

    def __post_init__(self) -> None:
        require(0 <= self.body_lr_factor <= 1, "body_lr_factor", self.body_lr_factor, "0 to 1")
