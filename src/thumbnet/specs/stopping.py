"""When a training may end early, and which of its weights it ends with, as a value. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from thumbnet.specs.checks import require, require_choice
from thumbnet.specs.limits import MAX_EPOCHS

KeptWeights = Literal["last", "best"]
KEPT_WEIGHTS: tuple[KeptWeights, ...] = ("last", "best")
StoppedBy = Literal["patience", "callback"]
STOPPED_BY: tuple[StoppedBy, ...] = ("patience", "callback")


@dataclass(frozen=True, kw_only=True)
class Stopping:
    """Both are decided on validation images alone, after each epoch that is scored.

    Args:
        patience: end the training where so many epochs brought no better validation accuracy; None: only at its end.
        keep_weights: the model ends with the weights of the last epoch, or with those of the epoch that was best on
            validation.

    Raises:
        ConfigError: out of range.
    """

    patience: int | None = None
    keep_weights: KeptWeights = "last"

    def __post_init__(self) -> None:
        is_right = self.patience is None or 1 <= self.patience <= MAX_EPOCHS
        require(is_right, "patience", self.patience, f"1 to {MAX_EPOCHS:,} epochs")
        require_choice("keep_weights", self.keep_weights, KEPT_WEIGHTS)

    @property
    def needs_validation(self) -> bool:
        return self.patience is not None or self.keep_weights == "best"

    def describe(self) -> str:
        """The fields that ask for something, as a recipe has them."""
        patience = [] if self.patience is None else [f"patience is {self.patience}"]
        return " and ".join([*patience, *(["keep_weights is 'best'"] if self.keep_weights == "best" else [])])
