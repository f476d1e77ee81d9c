"""The course of a training: the learning rate and the size of the images at each step, at the pace that it has now."""

from __future__ import annotations

from dataclasses import dataclass

from thumbnet.specs.pace import Pace
from thumbnet.specs.resizing import ProgressiveResizing
from thumbnet.specs.schedules import Schedule


@dataclass
class Course:
    """Steps count from 0; `pace` may change while the training goes on, for the steps that are still to come.

    `full_size` is the images' height and width in pixels, `lr` the base learning rate per step.
    """

    pace: Pace
    steps_per_epoch: int
    batch_size: int
    lr: float
    schedule: Schedule
    resizing: ProgressiveResizing
    full_size: tuple[int, int]

    @property
    def num_steps(self) -> int:
        return self.pace.num_steps

    @property
    def num_epochs(self) -> int:
        """The last of which may be a short one."""
        return -(-self.num_steps // self.steps_per_epoch)

    def factor_at(self, step: int) -> float:
        """The factor of the learning rates."""
        course_step, steps = self.pace.course_step(step), self.pace.steps
        return self.schedule.factor(course_step, num_steps=steps, steps_per_epoch=self.steps_per_epoch)

    def lr_at(self, step: int) -> float:
        return self.lr * self.factor_at(step)

    def sides_at(self, step: int) -> tuple[int, int]:
        """Height and width in pixels of the images at this step."""
        return self.resizing.sides(self.full_size, self.pace.course_step(step), self.pace.steps)

    def sides_between(self, first: int, last: int) -> list[tuple[tuple[int, int], int]]:
        """The sides at the steps from `first` to below `last`, each with the number of these steps."""
        pace = self.pace
        return self.resizing.sides_between(
            self.full_size, first, last, num_steps=pace.steps, first_at=pace.first_at if pace.starts else lambda at: at
        )

    def area_between(self, first: int, last: int) -> int:
        """The sum of the areas in pixels of one image at each step from `first` to below `last`."""
        return sum(height * width * count for (height, width), count in self.sides_between(first, last))
