"""The moments of a command that was given minutes: what is left of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from thumbnet.errors import ConfigError
from thumbnet.evaluation.custom_metrics import METRICS
from thumbnet.evaluation.unknown import MOST_MEASURED
from thumbnet.runs.planning.constants import (
    EVALUATION_SHARE,
    LADDER,
    MEASURED_S,
    REFERENCE_THREADS,
    REFIT_MARGIN,
    ROBUSTNESS_SHARE,
    SETUP_S,
    Rung,
)
from thumbnet.runs.planning.ladder import Budget, DataFacts, batch_of
from thumbnet.runs.planning.maps import size_cost
from thumbnet.runs.planning.reserve import end_s, robustness_s
from thumbnet.terminal.text import counted


@dataclass(frozen=True)
class Times:
    """The moments of a command, in seconds by `now`, and the speed of the ladder's first recipe by so many threads."""

    began_s: float
    minutes: float
    image_s: float
    pictures: bool
    now: Callable[[], float]
    report_robustness: bool | Literal["auto"] = False  # auto: unless it takes too long
    trial_share: float = 0.0  # of the time for training, which trials before it take
    measures_distances: bool = False  # since the answer may be unknown
    is_refit: bool = False  # a second training follows, on validation images too, as it was asked for
    num_threads: int = REFERENCE_THREADS

    def step_s(self, rung: Rung, facts: DataFacts, sides: tuple[int, int]) -> float:
        """Seconds of a step of a recipe on images of such height and width, as it is reckoned before it is measured."""
        image_s = self.image_s * rung.cost * size_cost(rung.network, sides)
        return image_s * min(facts.num_train, batch_of(rung, facts.num_train))

    def robustness_s(self, facts: DataFacts, eval_image_s: float, sides: tuple[int, int]) -> float:
        """Seconds for accuracy under corruptions in the report; 0 where it has none."""
        if not self.pictures or self.report_robustness is False:
            return 0.0
        image_s = self._comparable_image_s()
        seconds = robustness_s(sides=sides, num_test=facts.num_test, eval_image_s=eval_image_s, image_s=image_s)
        takes_too_long = seconds > ROBUSTNESS_SHARE * 60 * self.minutes
        return 0.0 if takes_too_long and self.report_robustness == "auto" else seconds

    def goes_without_robustness(self, facts: DataFacts, eval_image_s: float, sides: tuple[int, int]) -> bool:
        """Whether the report would show accuracy under corruptions, but for the time that this takes."""
        is_wanted = self.pictures and self.report_robustness == "auto"
        return is_wanted and self.robustness_s(facts, eval_image_s, sides) == 0

    def end_s(self, facts: DataFacts, eval_image_s: float, sides: tuple[int, int]) -> float:
        """Seconds that the end of the command takes."""
        return end_s(
            minutes=self.minutes,
            num_train=facts.num_train,
            num_test=facts.num_test,
            eval_image_s=eval_image_s,
            image_s=self._comparable_image_s(),
            pictures=self.pictures,
            robustness_s=self.robustness_s(facts, eval_image_s, sides),
            num_measured=self._num_measured(facts),
            num_own_metrics=0 if facts.has_several_labels else len(METRICS),
        )

    def _comparable_image_s(self) -> float:
        """By as many threads as the machine has that the end's times are of; more are not reckoned back, since what
        they gain differs."""
        return self.image_s * min(self.num_threads, REFERENCE_THREADS) / REFERENCE_THREADS

    def _num_measured(self, facts: DataFacts) -> int:
        """The images whose distances are measured at the end."""
        if not self.measures_distances:
            return 0
        return min(facts.num_train, MOST_MEASURED) + facts.num_val + facts.num_test

    def left_s(self, facts: DataFacts, eval_image_s: float, sides: tuple[int, int]) -> float:
        """Seconds for training and the scores between its epochs, if it begins now; without those of a second training
        that was asked for."""
        left_s = self.began_s + 60 * self.minutes - self.now() - self.end_s(facts, eval_image_s, sides)
        longer = (facts.num_train + facts.num_val) / facts.num_train
        return left_s / (1 + REFIT_MARGIN * longer) if self.is_refit else left_s

    def budget(self, facts: DataFacts, *, before_s: Callable[[tuple[int, int]], float]) -> Budget:
        """What ladder.py reckons with, if `before_s` seconds pass before a training on images of a height and width
        begins."""

        def left_s(sides: tuple[int, int]) -> float:
            eval_image_s = EVALUATION_SHARE * self.image_s * size_cost(LADDER[0].recipe, sides)
            left_s = self.left_s(facts, eval_image_s, sides) - before_s(sides) - MEASURED_S - SETUP_S
            return left_s * (1 - self.trial_share)

        return Budget(self.minutes, self.image_s, left_s)

    def too_short(self, facts: DataFacts, reading_s: float, eval_image_s: float, sides: tuple[int, int]) -> ConfigError:
        """The error where nothing is left to train in."""
        needed_s = self.now() - self.began_s + self.end_s(facts, eval_image_s, sides)
        return ConfigError(
            f"{counted(self.minutes, 'minute')} would pass before the first steps: reading {facts.num_images:,} images "
            f"takes {reading_s:.0f} s, and all that is no training {needed_s:.0f} s",
            hint="give more minutes, or a folder with fewer pictures",
        )
