"""Processors of its own for each of the processes of one machine that train together.

A sum over the processes wakes threads of torch.distributed in each of them, a dozen times a step. Where another process
computes on the processor that such a thread ran on last, Linux may let it wait there for milliseconds.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from thumbnet.specs.json_text import read_object, to_json
from thumbnet.specs.typed import from_fields

NAME = "what a process said of its processors"


@dataclass(frozen=True)
class Place:
    """Where a process computes: the name of its machine, the numbers of the processors that it may use, and its
    threads."""

    machine: str
    processors: tuple[int, ...]
    num_threads: int

    @classmethod
    def here(cls) -> Place:
        """That of this process; without processors where the system lets nobody choose them."""
        processors = tuple(sorted(os.sched_getaffinity(0))) if hasattr(os, "sched_getaffinity") else ()
        return cls(socket.gethostname(), processors, torch.get_num_threads())

    @classmethod
    def from_text(cls, text: str) -> Place:
        return from_fields(cls, read_object(text.encode(), name=NAME, known_format=1), name=NAME)

    def __str__(self) -> str:
        return to_json(asdict(self), name=NAME)


def own_processors(places: Sequence[Place], rank: int) -> frozenset[int] | None:
    """Those of the machine's processors that are the process's own, by the places of all; as many for each.

    None where each may stay where it is: alone on its machine, given processors by whoever started it, or with more
    threads than its share has processors.
    """
    own = places[rank]
    ranks = [each for each, place in enumerate(places) if place.machine == own.machine]
    share = len(own.processors) // len(ranks)
    are_equal = all(places[each].processors == own.processors for each in ranks)
    if len(ranks) == 1 or not are_equal or share < max(places[each].num_threads for each in ranks):
        return None
    first = ranks.index(rank) * share
    return frozenset(own.processors[first : first + share])


@contextmanager
def on_processors(processors: frozenset[int] | None) -> Iterator[None]:
    """While this lasts, all threads of this process keep to these processors; None: to those that they have."""
    if processors is None:
        yield
        return
    before = os.sched_getaffinity(0)
    _move_threads(processors)
    try:
        yield
    finally:
        _move_threads(before)


def _move_threads(processors: frozenset[int] | set[int]) -> None:
    for thread in Path("/proc/self/task").iterdir():
        with suppress(OSError):  # it has ended, or nobody may move it: slower, and no less right
            os.sched_setaffinity(int(thread.name), processors)
