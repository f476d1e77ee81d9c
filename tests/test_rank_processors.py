"""Processors of its own for each process of a machine: who gets which, and that a process has its own back later."""

from __future__ import annotations

import os
import threading
from dataclasses import replace

import pytest

from thumbnet.training.rank_processors import Place, on_processors, own_processors

FOUR = Place("a", (0, 1, 4, 5), num_threads=2)


@pytest.mark.parametrize(
    ("places", "shares"),
    [
        ([FOUR, FOUR], [{0, 1}, {4, 5}]),
        ([FOUR, Place("b", (0, 1), 1), FOUR, Place("b", (0, 1), 1)], [{0, 1}, {0}, {4, 5}, {1}]),
        ([replace(FOUR, num_threads=1)] * 3, [{0}, {1}, {4}]),
        ([FOUR], [None]),
        ([FOUR, replace(FOUR, machine="b")], [None, None]),  # each alone on its machine
        ([FOUR, replace(FOUR, processors=(0, 1))], [None, None]),  # given by whoever started them
        ([replace(FOUR, num_threads=3), FOUR], [None, None]),
        ([replace(FOUR, processors=())] * 2, [None, None]),  # a system that lets nobody choose
    ],
)
def test_each_process_has_as_many_as_the_others_of_its_machine(
    places: list[Place], shares: list[set[int] | None]
) -> None:
    assert [own_processors(places, rank) for rank in range(len(places))] == shares


def test_a_place_is_told_as_text() -> None:
    here = Place.here()
    assert Place.from_text(str(here)) == here
    assert here.processors == tuple(sorted(os.sched_getaffinity(0)))


def test_all_threads_keep_to_them_for_a_while() -> None:
    before, seen, ended = os.sched_getaffinity(0), list[set[int]](), threading.Event()
    begun = threading.Event()

    def look() -> None:
        begun.wait(10)
        seen.append(os.sched_getaffinity(0))
        ended.set()

    other = threading.Thread(target=look)
    other.start()
    with on_processors(frozenset([min(before)])):
        assert os.sched_getaffinity(0) == {min(before)}
        begun.set()
        assert ended.wait(10)
    other.join()
    assert seen == [{min(before)}]
    assert os.sched_getaffinity(0) == before
    with on_processors(None):
        assert os.sched_getaffinity(0) == before
