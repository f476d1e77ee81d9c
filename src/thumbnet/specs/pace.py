"""The pace of a training: how its course, of a fixed number of steps, is gone through in more or fewer real ones.

Learning rates and sizes of images belong to the course. A training that is kept to a clock changes its pace where steps
take longer or shorter than was measured: it then goes through the rest of the course in another number of steps, so
that the rate reaches its end all the same. All of it is whole numbers: a recorded pace is followed exactly.
"""

from __future__ import annotations

import itertools
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field

from thumbnet.errors import ConfigError


@dataclass(frozen=True)
class Pace:
    """A course of `steps` steps; from the real step `starts[i]` (from 0) on, its rest is done in `lengths[i]` steps.

    Without starts, the real steps are those of the course.

    Raises:
        ConfigError: there is no step, or the changes do not follow each other before the end.
    """

    steps: int
    starts: Sequence[int] = ()
    lengths: Sequence[int] = ()
    positions: Sequence[int] = field(init=False, repr=False, compare=False)  # course steps done at each start

    def __post_init__(self) -> None:
        if self.steps < 1 or len(self.starts) != len(self.lengths) or any(length < 1 for length in self.lengths):
            raise ConfigError(
                f"steps is {self.steps}, pace_starts {list(self.starts)} and pace_steps {list(self.lengths)}",
                hint="give at least one step, and for each start the number of steps from there on, at least 1",
            )
        object.__setattr__(self, "starts", tuple(self.starts))
        object.__setattr__(self, "lengths", tuple(self.lengths))
        ends = [self.steps, *(start + length for start, length in zip(self.starts, self.lengths, strict=True))]
        rising = all(a < b for a, b in itertools.pairwise((0, *self.starts)))
        if not rising or any(start >= end for start, end in zip(self.starts, ends[:-1], strict=True)):
            raise ConfigError(
                f"pace_starts is {list(self.starts)}",
                hint="the starts rise from above 0, and each comes before the end that the pace before it has",
            )
        positions = [0]
        for index, start in enumerate(self.starts):
            done = self._course_step(start - 1, index, positions) + 1
            positions.append(min(done, self.steps - 1))  # a slow course may already be at its last step
        object.__setattr__(self, "positions", tuple(positions))

    @property
    def num_steps(self) -> int:
        """The number of real steps."""
        return self.starts[-1] + self.lengths[-1] if self.starts else self.steps

    def course_step(self, step: int) -> int:
        """The step of the course at the real `step`; both count from 0, and the last one is the course's last."""
        return self._course_step(step, bisect_right(self.starts, step), self.positions)

    def first_at(self, course_step: int) -> int:
        """The first real step at which the course has come to `course_step` or further."""
        return bisect_left(range(self.num_steps), course_step, key=self.course_step)

    def changed(self, at_step: int, num_left: int) -> Pace:
        """The same pace up to the real step `at_step`, from which on the rest of the course takes `num_left` steps."""
        kept = [pair for pair in zip(self.starts, self.lengths, strict=True) if pair[0] < at_step]
        return Pace(self.steps, (*(pair[0] for pair in kept), at_step), (*(pair[1] for pair in kept), num_left))

    def _course_step(self, step: int, part: int, positions: Sequence[int]) -> int:
        if part == 0:
            return step
        start, length, position = self.starts[part - 1], self.lengths[part - 1], positions[part]
        done = (step - start + 1) * (self.steps - position) // length
        return position + max(0, done - 1)
