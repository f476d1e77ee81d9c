"""How many threads a plan trains with: fewer where other programs keep the processors busy.

The threads of a training wait for each other at every layer. Where another program has the processor of one of them,
all wait until it gets it back, which takes milliseconds: beside two busy programs, two threads on two cores take
several times as long as one.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from thumbnet.runs.planning.constants import FEWER_THREADS_GAIN, REFERENCE_S, UNDISTURBED_SHARE
from thumbnet.runs.planning.speed import Measures
from thumbnet.specs.engine import Engine
from thumbnet.terminal.text import counted
from thumbnet.training.device import pick_device
from thumbnet.training.threads import computing_with


@dataclass(frozen=True)
class Threads:
    """What a plan computes with: `chosen` threads, or None where it leaves them as they are; `num` there are then, and
    the ladder's first recipe trains an image of 32 pixels in `image_s` seconds. `reason` is a sentence, or empty."""

    chosen: int | None
    num: int
    image_s: float
    reason: str = ""


def choose_threads(engine: Engine, measures: Measures) -> Threads:
    """As many as there are, or half of them, a quarter, ... as long as fewer are faster; measured where other programs
    had the processors meanwhile, and the engine leaves the number open."""
    here = torch.get_num_threads() if engine.threads is None else engine.threads
    with computing_with(here):
        usual = measures.reference(engine, seconds=REFERENCE_S)
    is_open = engine.threads is None and pick_device(engine.device).type == "cpu"
    if not is_open or usual.processor_share >= UNDISTURBED_SHARE:
        return Threads(None, here, usual.image_s)
    num, image_s = here, usual.image_s
    while num > 1:
        with computing_with(num // 2):
            fewer = measures.reference(engine, seconds=REFERENCE_S)
        if fewer.image_s * FEWER_THREADS_GAIN > image_s:
            break
        num, image_s = num // 2, fewer.image_s
    if num == here:
        return Threads(None, here, image_s)
    reason = (
        f"{counted(num, 'thread')} instead of {here}: other programs keep the processors busy now, and threads wait "
        f"for each other, so fewer are {usual.image_s / image_s:.1f} times as fast."
    )
    return Threads(num, num, image_s, reason)
