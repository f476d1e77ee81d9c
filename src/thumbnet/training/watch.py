"""How long steps and calls take."""

from __future__ import annotations

import time
from collections.abc import Callable

from thumbnet.training.history import EpochRecord
from thumbnet.training.progress import EpochPlan, Progress, StepReport


class StepWatch(Progress):
    """Notes when the steps of a training end."""

    def __init__(self) -> None:
        self.ends: list[tuple[int, float]] = []  # steps done, and when
        self.before_epoch = 0

    def epoch_begins(self, plan: EpochPlan) -> None:
        self.before_epoch = self.ends[-1][0] if self.ends else 0

    def step_ends(self, report: StepReport) -> None:
        self.ends.append((self.before_epoch + report.num_steps, time.perf_counter()))

    def epoch_ends(self, record: EpochRecord) -> None: ...

    def seconds_per_step(self, after: int, until: int) -> float:
        """Mean over the steps from the first report at `after` or later to the last one up to `until`."""
        ends = [end for end in self.ends if after <= end[0] <= until]
        (first, first_s), (last, last_s) = ends[0], ends[-1]
        return (last_s - first_s) / (last - first)


def seconds_per_call(call: Callable[[], object], *, at_least_s: float) -> float:
    """The mean of calls that take so long together, after a first one that is not counted."""
    call()
    begin_s = time.perf_counter()
    num_calls = 0
    while (elapsed_s := time.perf_counter() - begin_s) < at_least_s or num_calls == 0:
        call()
        num_calls += 1
    return elapsed_s / num_calls
