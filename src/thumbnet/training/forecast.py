"""How long a training will take, told from its first steps."""

from __future__ import annotations

import time
from collections.abc import Sequence

from thumbnet.training.progress import Progress

WARM_UP_STEPS = 3  # the first ones allocate memory and prepare kernels
WATCHED_S = 3.0


class Forecast:
    """Tells `progress` once how long the training takes; a step's cost is taken to go with the area of its images.

    Args:
        areas: of one image at each step of the whole training, in pixels.
        first_step: that is not done yet.
    """

    def __init__(self, progress: Progress, areas: Sequence[int], *, first_step: int) -> None:
        self.progress = progress
        self.areas = areas
        self.begin_s = time.perf_counter()
        self.warm_step = first_step + WARM_UP_STEPS - 1
        self.watched_from: tuple[int, float] | None = None  # a step and when it ended
        self.is_told = False

    def step_ends(self, step: int) -> None:
        """Called where the device has caught up."""
        if self.is_told or step < self.warm_step:
            return
        now_s = time.perf_counter()
        if self.watched_from is None:
            self.watched_from = (step, now_s)
            return
        warm, watched_from_s = self.watched_from
        if now_s - watched_from_s < WATCHED_S:
            return
        seconds_per_pixel = (now_s - watched_from_s) / sum(self.areas[warm + 1 : step + 1])
        self.progress.forecast(now_s - self.begin_s + seconds_per_pixel * sum(self.areas[step + 1 :]))
        self.is_told = True
