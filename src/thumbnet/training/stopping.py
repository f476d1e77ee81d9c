"""When a training ends before its last epoch, and which weights it ends with.

All of it follows from the history and the weights of the best epoch, so that a resumed training stops where one that
was never interrupted does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Final, Generic

from torch import Tensor

from thumbnet.errors import ConfigError
from thumbnet.specs.stopping import StoppedBy, Stopping
from thumbnet.training.history import EpochRecord, History
from thumbnet.training.result import S
from thumbnet.training.state import TrainingState


class Stop(Enum):
    """What `on_epoch_end` may return."""

    STOP = "stop"


STOP: Final = Stop.STOP
OnEpochEnd = Callable[[TrainingState], Stop | None]


def best_on_validation(history: History, *, is_balanced: bool) -> EpochRecord | None:
    """The epoch with the highest validation accuracy, of equal ones with the lowest loss, of equal ones the first; None
    where none was scored.

    Where the classes weigh the same in the training, `is_balanced`, it is the mean of their accuracies, if the scores
    have it: those of several labels have not.
    """

    def quality(record: EpochRecord) -> tuple[float, float]:
        balanced = record.val_balanced_accuracy if is_balanced else None
        accuracy = record.val_accuracy if balanced is None else balanced
        loss = record.val_loss
        return (-1.0 if accuracy is None else accuracy, float("-inf") if loss is None else -loss)

    return max((record for record in history if record.val_accuracy is not None), key=quality, default=None)


class StopRule(Generic[S]):
    """Decides after each scored epoch whether the training goes on, and keeps the weights of the best one if they are
    wanted.

    Args:
        is_balanced: as in `best_on_validation`.
        state: what the training goes on from, None where it begins.
    """

    def __init__(self, stopping: Stopping, *, is_balanced: bool, state: TrainingState | None) -> None:
        self.stopping, self.is_balanced = stopping, is_balanced
        self.keeps_best = stopping.keep_weights == "best"
        self.best_weights = state.best if state is not None and self.keeps_best else None
        self.best_scores: Mapping[str, S] = {}  # of an epoch before an interruption they are not known
        self.stopped_by: StoppedBy | None = None
        if state is not None:
            self.stopped_by = state.stopped_by or self._by_patience(state.history)

    def scored(self, history: History, weights: Mapping[str, Tensor], scores: Mapping[str, S]) -> None:
        """Called with the weights and scores of the history's last epoch."""
        best = self.best_epoch(history)
        if self.keeps_best and best == len(history):
            self.best_weights = {name: tensor.detach().clone() for name, tensor in weights.items()}
            self.best_scores = scores
        self.stopped_by = self._by_patience(history)

    def answered(self, answer: object) -> None:
        """Called with what `on_epoch_end` returned.

        Raises:
            ConfigError: neither None nor STOP.
        """
        if answer is STOP:
            self.stopped_by = "callback"
        elif answer is not None:
            raise ConfigError(
                f"on_epoch_end returned {answer!r:.80}",
                hint="return None to go on, or thumbnet.STOP to end the training after this epoch",
            )

    def best_epoch(self, history: History) -> int | None:
        """Counted from 1."""
        best = best_on_validation(history, is_balanced=self.is_balanced)
        return None if best is None else best.epoch

    def _by_patience(self, history: History) -> StoppedBy | None:
        best, patience = self.best_epoch(history), self.stopping.patience
        return "patience" if patience is not None and best is not None and len(history) - best >= patience else None
