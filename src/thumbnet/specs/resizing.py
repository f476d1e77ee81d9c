"""Progressive resizing: a training begins with small images, which are fast, and ends with full ones."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from thumbnet.errors import ConfigError

MIN_SIDE = 16  # pixels: images are not made smaller than this


@dataclass(frozen=True)
class ProgressiveResizing:
    """From the share `starts[i]` of the steps on, the images' sides are `scales[i]` times the full ones.

    Raises:
        ConfigError: the images do not grow step by step, from the first step on, to their full size.
    """

    scales: Sequence[float] = (1.0,)
    starts: Sequence[float] = (0.0,)

    def __post_init__(self) -> None:
        scales, starts = self.scales, self.starts
        ordered = all(a < b for values in (scales, starts) for a, b in itertools.pairwise(values))
        if len(scales) != len(starts) or not scales or not ordered:
            raise ConfigError(
                f"scales is {list(scales)} and scale_starts is {list(starts)}",
                hint="give as many starts as scales, both growing, as [0.5, 1.0] and [0.0, 0.6]",
            )
        if starts[0] != 0 or starts[-1] >= 1 or scales[0] <= 0 or scales[-1] != 1:
            raise ConfigError(
                f"scales go from {scales[0]} to {scales[-1]}, their starts from {starts[0]} to {starts[-1]}",
                hint="the starts begin with 0 and stay below 1; the scales are above 0 and end with 1, the full size",
            )

    def sides(self, full: tuple[int, int], step: int, num_steps: int) -> tuple[int, int]:
        """Height and width in pixels at `step` (from 0) of `num_steps`, given the full-size (height, width)."""
        return _scaled(full, self.scales[sum(start <= step / num_steps for start in self.starts) - 1])

    def sides_between(
        self,
        full: tuple[int, int],
        first: int,
        last: int,
        *,
        num_steps: int,
        first_at: Callable[[int], int] = lambda step: step,
    ) -> list[tuple[tuple[int, int], int]]:
        """The sides of the images at the steps from `first` to below `last`, each with the number of these steps.

        `first_at` gives the real step at which a step of the course begins, where its pace is another; other arguments
        are as in `sides`.
        """
        begins = [first_at(_first_step_from(start, num_steps)) for start in self.starts]
        ends = [*begins[1:], first_at(num_steps)]
        return [
            (_scaled(full, scale), max(0, min(end, last) - max(begin, first)))
            for scale, begin, end in zip(self.scales, begins, ends, strict=True)
        ]


def _scaled(full: tuple[int, int], scale: float) -> tuple[int, int]:
    height, width = (max(min(side, MIN_SIDE), round(side * scale)) for side in full)
    return height, width


def _first_step_from(start: float, num_steps: int) -> int:
    """The first step whose share of all steps is at least `start`."""
    step = math.ceil(start * num_steps)  # up to rounding
    while step > 0 and (step - 1) / num_steps >= start:
        step -= 1
    while step / num_steps < start:
        step += 1
    return step
