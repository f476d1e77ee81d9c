"""Growing images: a training that begins with small images, which are fast, and ends with full ones."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from thumbnet.errors import ConfigError

MIN_SIDE = 16  # pixels: images are not made smaller than this


@dataclass(frozen=True)
class Growth:
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
        """Height and width in pixels at `step` (from 0) of `num_steps`, of images whose `full` ones these are."""
        scale = self.scales[sum(start <= step / num_steps for start in self.starts) - 1]
        height, width = (max(min(side, MIN_SIDE), round(side * scale)) for side in full)
        return height, width
