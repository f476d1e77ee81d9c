"""How long a training will take, told from its first steps."""

from __future__ import annotations

import time
from collections.abc import Callable

from thumbnet.training.progress import Progress

WARM_UP_STEPS = 3  # the first ones allocate memory and prepare kernels
WATCHED_S = 3.0


class Forecast:
    """Tells `progress` once how long the training takes; a step's cost is taken to go with the area of its images.

    Args:
        area_between: the sum of the areas in pixels of one image at each step from the first argument to below the
            second.
        num_steps: of the whole training.
        first_step: that is not done yet.
        now: a clock in seconds.
    """

    def __init__(
        self,
        progress: Progress,
        area_between: Callable[[int, int], int],
        *,
        num_steps: int,
        first_step: int,
        now: Callable[[], float] = lambda: time.perf_counter(),  # noqa: PLW0108  # the clock of the time of the call
    ) -> None:
        self.progress = progress
        self.area_between = area_between
        self.num_steps = num_steps
        self.now = now
        self.begin_s = now()
        self.warm_step = first_step + WARM_UP_STEPS - 1
        self.watched_from: tuple[int, float] | None = None  # a step and when it ended
        self.is_told = False

    def step_ends(self, step: int) -> None:
        """Called where the device has caught up."""
        if self.is_told or step < self.warm_step:
            return
        now_s = self.now()
        if self.watched_from is None:
            self.watched_from = (step, now_s)
            return
        warm, watched_from_s = self.watched_from
        if now_s - watched_from_s < WATCHED_S:
            return
        seconds_per_pixel = (now_s - watched_from_s) / self.area_between(warm + 1, step + 1)
        still_to_come = self.area_between(step + 1, self.num_steps)
        self.progress.forecast(now_s - self.begin_s + seconds_per_pixel * still_to_come)
        self.is_told = True
