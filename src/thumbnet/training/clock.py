"""A training kept to a clock: its pace is changed where it would end too late or too early."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from thumbnet.training.course import Course

WARM_UP_STEPS = 3  # the first ones allocate memory and prepare kernels
CHECK_EVERY_S = 2.0
WINDOW_S = 20.0  # of training that the speed is measured over
LEAST_SHARE_LEFT = 0.02  # of the course: closer to its end, the pace stays as it is
MOST_GROWTH = 1.5  # of the steps that are left, by one change
LEAST_REST = 0.5  # of the steps that are left, by one change while there is time: a moment's delay ends no training
MOST_SLOWNESS = 2.0  # that the reserve is made longer by


@dataclass(frozen=True)
class Clock:
    """When a training must be over, and what is expected to take how long.

    Args:
        deadline_s: when the whole command must be over, by `now`.
        reserve_s: what comes after the training takes so long: test, report, leaving.
        tolerance_s: the pace stays as it is where the end would be off by no more.
        max_steps: of the whole training, however much time is left.
        again_share: a second training follows, of the same steps so many times over; 0: none.
        scoring_s: between two epochs, scores and checkpoint, until that was measured.
        step_s: of a step by the images' height and width, as measured beforehand; empty: it goes with their area.
        now: a clock in seconds.
    """

    deadline_s: float
    reserve_s: float
    tolerance_s: float
    max_steps: int
    again_share: float = 0.0
    scoring_s: float = 0.0
    step_s: Mapping[tuple[int, int], float] = field(default_factory=dict)
    now: Callable[[], float] = lambda: time.perf_counter()  # noqa: PLW0108  # the clock of the time of the call


class PaceKeeper:
    """Measures the steps of a training, and changes the pace of its course so that it ends as the clock says.

    Args:
        score_every: epochs from one scoring to the next.
        first_step: that is not done yet.
    """

    def __init__(self, course: Course, clock: Clock, *, score_every: int, first_step: int) -> None:
        self.course, self.clock, self.score_every = course, clock, score_every
        self.first_step = self.next_step = first_step
        self.scoring_s = clock.scoring_s
        self.trained_s = self.cost = 0.0  # of the steps done: as measured, and as expected
        self.window: deque[tuple[float, float]] = deque()  # of these two, after past steps
        self.last_s = self.next_check_s = clock.now()

    def scoring_ends(self) -> None:
        """Called where an epoch was scored and kept, before the next one begins; what passes between two epochs of
        which the first is not scored counts as training."""
        now_s = self.clock.now()
        self.scoring_s, self.last_s = now_s - self.last_s, now_s

    def step_ends(self, step: int) -> None:
        """Called where the device has caught up."""
        now_s = self.clock.now()
        self.trained_s += now_s - self.last_s
        self.cost += sum(self._cost(self.course.sides_at(each)) for each in range(self.next_step, step + 1))
        self.last_s, self.next_step = now_s, step + 1
        if step < self.first_step + WARM_UP_STEPS - 1:
            return
        self.window.append((self.trained_s, self.cost))
        while self.trained_s - self.window[0][0] > WINDOW_S:
            self.window.popleft()
        if now_s >= self.next_check_s and self.cost > self.window[0][1]:
            self.next_check_s = now_s + CHECK_EVERY_S
            self._keep(now_s)

    def _keep(self, now_s: float) -> None:
        """Change the pace, if the training would end too late or too early."""
        course, clock, done = self.course, self.clock, self.next_step
        num_left = course.num_steps - done
        to_come = course.pace.steps - course.pace.course_step(done - 1) - 1
        if num_left < 1 or to_come < LEAST_SHARE_LEFT * course.pace.steps:
            return
        began_s, began_cost = self.window[0]
        slowness = (self.trained_s - began_s) / (self.cost - began_cost)
        steps_s = slowness * self._cost_between(done, course.num_steps) * (1 + clock.again_share)
        again_s = slowness * self._cost_between(0, done) * clock.again_share if clock.again_share else 0.0
        scorings = max(1.0, num_left / (course.steps_per_epoch * self.score_every))
        needed_s = steps_s + scorings * self.scoring_s
        reserve_s = clock.reserve_s * (min(MOST_SLOWNESS, max(1.0, slowness)) if clock.step_s else 1.0)
        left_s = clock.deadline_s - reserve_s - now_s - again_s
        if abs(needed_s - left_s) <= clock.tolerance_s:
            return
        # The last scoring is made in any case; with fewer steps, fewer epochs are scored before it.
        per_step_s = (needed_s - self.scoring_s) / num_left
        wanted = int((left_s - self.scoring_s) / per_step_s)
        most = min(int(MOST_GROWTH * num_left), clock.max_steps - done)
        is_over = now_s + again_s + self.scoring_s >= clock.deadline_s - clock.reserve_s
        least = 1 if is_over else max(1, int(LEAST_REST * num_left))
        num_steps = max(least, min(wanted, most))
        if num_steps != num_left:
            course.pace = course.pace.changed(done, num_steps)

    def _cost_between(self, first: int, end: int) -> float:
        """Of the steps from the first to below the end."""
        return sum(count * self._cost(sides) for sides, count in self.course.sides_between(first, end))

    def _cost(self, sides: tuple[int, int]) -> float:
        """Of a step on images of these sides: seconds, where steps were measured beforehand, or pixels."""
        known = self.clock.step_s
        height, width = sides
        if not known:
            return float(height * width)
        if sides in known:
            return known[sides]
        nearest = min(known, key=lambda other: abs(other[0] * other[1] - height * width))
        return known[nearest] * (height * width) / (nearest[0] * nearest[1])
