"""How long a training is, when it is scored, and whether it may end early, as a value."""

from __future__ import annotations

from dataclasses import dataclass

from thumbnet.errors import ConfigError
from thumbnet.specs.checks import require
from thumbnet.specs.limits import check_epochs
from thumbnet.specs.pace import Pace
from thumbnet.specs.stopping import Stopping
from thumbnet.training.clock import Clock


@dataclass(frozen=True, kw_only=True)
class Length:
    """How long a training is, where a number of epochs does not say all.

    Args:
        epochs: passes over the training images; or, instead, a `pace`.
        pace: the number of steps, of which the last epoch may not be full, and how they go through the course.
        clock: change the pace so that the training ends as the clock says; None: follow the pace as it is.
        score_every: epochs from one scoring, and one `on_epoch_end`, to the next; the last epoch is always scored.
        stopping: whether it ends early, and with the last weights or the best ones; it needs a scorer for `val`.

    Raises:
        ConfigError: neither epochs nor a pace is given, or both, or a number is out of its range.
    """

    epochs: int | None = None
    pace: Pace | None = None
    clock: Clock | None = None
    score_every: int = 1
    stopping: Stopping = Stopping()

    def __post_init__(self) -> None:
        if (self.epochs is None) == (self.pace is None):
            given = "none" if self.epochs is None else "both"
            raise ConfigError(
                f"{given} of epochs and pace is given", hint="give one of them, as epochs=10 or pace=Pace(500)"
            )
        if self.epochs is not None:
            check_epochs(self.epochs)
        require(self.score_every >= 1, "score_every", self.score_every, "at least 1")

    @property
    def is_paced(self) -> bool:
        """Whether a number of epochs does not say which steps were made in the end."""
        return self.pace is not None or self.clock is not None

    def pace_of(self, steps_per_epoch: int) -> Pace:
        """The pace that the training begins with."""
        return Pace((self.epochs or 0) * steps_per_epoch) if self.pace is None else self.pace
