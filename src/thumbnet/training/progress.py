"""What training tells of itself as it goes on; progress_displays.py shows it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal

from thumbnet.training.history import EpochRecord

LogStyle = Literal["auto", "reference", "silent"]


@dataclass(frozen=True)
class EpochPlan:
    """What is known as an epoch begins: its number of how many, its first learning rate, its images and steps."""

    epoch: int
    num_epochs: int
    lr: float
    num_images: int
    num_steps: int


@dataclass(frozen=True)
class StepReport:
    """Where an epoch stands: steps and images done, means of loss and accuracy so far, the last batch's loss.

    `objective` and `balanced_accuracy` are as in `EpochRecord`.
    """

    num_steps: int
    num_images: int
    mean_loss: float
    accuracy: float
    last_loss: float
    images_per_s: float
    objective: float | None = None
    balanced_accuracy: float | None = None


class Progress(ABC):
    """Is told of a training run as it goes on."""

    @abstractmethod
    def epoch_begins(self, plan: EpochPlan) -> None: ...

    @abstractmethod
    def step_ends(self, report: StepReport) -> None: ...

    @abstractmethod
    def epoch_ends(self, record: EpochRecord) -> None: ...

    def forecast(self, train_s: float) -> None:  # noqa: B027  # not every place has room for it
        """Told once, after the first steps: the seconds that the training will take from where it began."""


class Silent(Progress):
    """Says nothing."""

    def epoch_begins(self, plan: EpochPlan) -> None: ...

    def step_ends(self, report: StepReport) -> None: ...

    def epoch_ends(self, record: EpochRecord) -> None: ...


def duration(seconds: float) -> str:
    """A duration for people: `0.4 s`, `48 s`, `5 min 20 s`, `2 h 45 min`."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60} min"
