"""Learning-rate schedules: values that give the factor of the base learning rate at each step."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

from thumbnet.errors import ConfigError
from thumbnet.specs.checks import require, require_fraction
from thumbnet.specs.registry import Registry


@dataclass(frozen=True)
class Schedule(ABC):
    """A course of the learning rate; steps count from 0.

    The fields of a subclass, a frozen dataclass, are what a recipe may say of it: numbers, truth values and texts.
    """

    @abstractmethod
    def factor(self, step: int, *, num_steps: int, steps_per_epoch: int) -> float:
        """What the base learning rate is multiplied with at `step` of `num_steps`."""


@dataclass(frozen=True)
class StepSchedule(Schedule):
    """The rate falls by `gamma` every `step_epochs` epochs, at most `num_drops` times (None: without limit)."""

    step_epochs: int
    gamma: float
    num_drops: int | None = None

    def __post_init__(self) -> None:
        require(self.step_epochs >= 1, "step_epochs", self.step_epochs, "at least 1")
        require(0 < self.gamma <= 1, "gamma", self.gamma, "above 0 and at most 1")
        require(self.num_drops is None or self.num_drops >= 1, "num_drops", self.num_drops, "at least 1")

    def factor(self, step: int, *, num_steps: int, steps_per_epoch: int) -> float:
        drops = step // (steps_per_epoch * self.step_epochs)
        return self.gamma ** (drops if self.num_drops is None else min(drops, self.num_drops))


@dataclass(frozen=True)
class OneCycle(Schedule):
    """The rate rises in a straight line over `warmup_fraction` of the steps, then falls in one to almost zero.

    The last step still has a rate above zero. Source of the shape: Smith, "Super-convergence" (2018), without its tail.
    """

    warmup_fraction: float = 0.2

    def __post_init__(self) -> None:
        require_fraction("warmup_fraction", self.warmup_fraction)

    def factor(self, step: int, *, num_steps: int, steps_per_epoch: int) -> float:
        peak = self.warmup_fraction * num_steps
        if step + 1 <= peak:
            return (step + 1) / peak
        return (num_steps - step) / (num_steps - peak + 1)


@dataclass(frozen=True)
class Cosine(Schedule):
    """The rate rises in a straight line over `warmup_fraction` of the steps, then falls along half a cosine to zero.

    Source: Loshchilov and Hutter, "SGDR" (2017, arXiv:1608.03983), one period of it.
    """

    warmup_fraction: float = 0.0

    def __post_init__(self) -> None:
        require_fraction("warmup_fraction", self.warmup_fraction)

    def factor(self, step: int, *, num_steps: int, steps_per_epoch: int) -> float:
        peak = self.warmup_fraction * num_steps
        if step + 1 <= peak:
            return (step + 1) / peak
        return (1 + math.cos(math.pi * (step + 1 - peak) / (num_steps - peak + 1))) / 2


SCHEDULES: Registry[type[Schedule]] = Registry(
    "schedule", "thumbnet.schedules", {"step": StepSchedule, "one-cycle": OneCycle, "cosine": Cosine}
)


def register_schedule(name: str, kind: type[Schedule], *, replace: bool = False) -> None:
    """Let recipes say `schedule = "<name>"`, with the fields of `kind`, a frozen dataclass, beside it.

    Raises:
        ConfigError: the name is no word of lower-case letters, digits, `-`, `_` and `.`, or is taken; the class is no
            dataclass that extends `Schedule`.
    """
    if "__dataclass_fields__" not in vars(kind) or not issubclass(kind, Schedule):
        raise ConfigError(
            f"{kind.__name__} is no dataclass that extends thumbnet.Schedule",
            hint="write @dataclass(frozen=True) above it",
        )
    SCHEDULES.register(name, kind, replace=replace)
