"""What the processes of one training agree on beside its steps: weights at the beginning, pace, and when it ends."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from thumbnet.errors import TrainingError
from thumbnet.specs.stopping import STOPPED_BY, StoppedBy
from thumbnet.training.averaging import WeightAverage
from thumbnet.training.course import Course
from thumbnet.training.ranks import Ranks

GOES_ON = "goes on"


def begin_together(
    ranks: Ranks, model: nn.Module, average: WeightAverage | None, device: torch.device, *, has_clock: bool
) -> bool:
    """Take over the first process's weights, and those of its average; whether that process has a clock.

    Raises:
        TrainingError: it computes on another kind of device.
    """
    kind, told = ranks.agree(f"{device.type} {has_clock}" if ranks.is_first else None).split()
    if kind != device.type:
        raise TrainingError(
            f"the first process trains on {kind}, process {ranks.rank} on {device.type}",
            hint="give --device cpu, or as many GPUs as there are processes",
        )
    states = [model.state_dict(), {} if average is None else average.averaged]
    for tensor in (tensor for state in states for tensor in state.values()):
        values = tensor.contiguous()
        ranks.take_from_first(values)
        tensor.copy_(values)
    return told == str(True)


def agree_on_end(ranks: Ranks, stopped_by: StoppedBy | None) -> StoppedBy | None:
    """What ends the training after this epoch: as the first process says."""
    word = ranks.agree((stopped_by or GOES_ON) if ranks.is_first else None)
    return next((reason for reason in STOPPED_BY if reason == word), None)


def sharing_pace(ranks: Ranks, course: Course, step_ends: Callable[[int], object]) -> Callable[[int], object]:
    """`step_ends`, after which the course has the pace that it has in the first process, the only one with a clock."""

    def call(step: int) -> None:
        before = course.pace
        step_ends(step)
        changed = ranks.is_first and course.pace != before
        change = torch.tensor([course.pace.starts[-1], course.pace.lengths[-1]] if changed else [-1, -1])
        ranks.take_from_first(change)
        start, length = change.tolist()
        if start >= 0 and not ranks.is_first:
            course.pace = course.pace.changed(start, length)

    return call
