"""What the processes of one training agree on beside its steps: weights at the beginning, pace, and when it ends."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, astuple, dataclass
from typing import Literal

import torch
from torch import nn

from thumbnet.errors import TrainingError
from thumbnet.kernels.library import Kernels
from thumbnet.specs.stopping import STOPPED_BY, StoppedBy
from thumbnet.training.averaging import WeightAverage
from thumbnet.training.course import Course
from thumbnet.training.rank_processors import Place, own_processors
from thumbnet.training.ranks import Ranks

GOES_ON = "goes on"


@dataclass(frozen=True)
class Means:
    """What a process trains with, where the engine's `auto` may have chosen otherwise than in another process."""

    device: str
    precision: str
    kernels: Literal["native", "pytorch"]


MENDED_BY = {
    "device": "give --device cpu, or as many GPUs as there are processes",
    "precision": "give --set precision=float32",
    "kernels": "give --set kernels=pytorch, or a compiler to the machine that has none",
}


def means_of(device: torch.device, precision: torch.dtype, library: Kernels | None) -> Means:
    return Means(device.type, str(precision).removeprefix("torch."), "pytorch" if library is None else "native")


def begin_together(
    ranks: Ranks, model: nn.Module, average: WeightAverage | None, means: Means, *, has_clock: bool
) -> bool:
    """Take over the first process's weights, and those of its average; whether that process has a clock.

    Raises:
        TrainingError: it trains with other means, so that the processes' weights would become others.
    """
    *firsts, told = ranks.agree(" ".join([*astuple(means), str(has_clock)]) if ranks.is_first else None).split()
    for (name, own), first in zip(asdict(means).items(), firsts, strict=True):
        if own != first:
            raise TrainingError(
                f"the first process trains with {name} {first}, process {ranks.rank} with {name} {own}",
                hint=MENDED_BY[name],
            )
    if means.device == "cpu":
        ranks.processors = own_processors(list(map(Place.from_text, ranks.tell_all(str(Place.here())))), ranks.rank)
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
