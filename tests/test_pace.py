"""A pace goes through the whole course, in more or fewer steps, and exactly so again from what is recorded of it."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thumbnet.errors import ConfigError
from thumbnet.specs.pace import Pace

CHANGES = st.lists(st.tuples(st.integers(0, 100), st.integers(1, 90)), max_size=4)  # where, in percent, and steps left


def changed_paces(steps: int, changes: list[tuple[int, int]]) -> list[Pace]:
    """A pace as it was at first, and after each of its changes."""
    paces = [Pace(steps)]
    for percent, num_left in changes:
        pace = paces[-1]
        earliest = pace.starts[-1] + 1 if pace.starts else 1
        if earliest < pace.num_steps:
            at_step = earliest + (pace.num_steps - 1 - earliest) * percent // 100
            paces.append(pace.changed(at_step, num_left))
    return paces


def test_without_changes_the_steps_are_those_of_the_course() -> None:
    pace = Pace(7)
    assert [pace.course_step(step) for step in range(pace.num_steps)] == list(range(7))


@settings(max_examples=80, deadline=None)
@given(st.integers(1, 60), CHANGES)
def test_the_course_is_gone_through_to_its_end(steps: int, changes: list[tuple[int, int]]) -> None:
    for pace in changed_paces(steps, changes):
        course = [pace.course_step(step) for step in range(pace.num_steps)]
        assert course[-1] == pace.steps - 1
        assert all(0 <= a <= b for a, b in itertools.pairwise([0, *course]))
        for course_step in range(pace.steps):
            expected = next(step for step, at in enumerate(course) if at >= course_step)
            assert pace.first_at(course_step) == expected


@settings(max_examples=80, deadline=None)
@given(st.integers(1, 60), CHANGES)
def test_what_was_done_before_a_change_stays_and_is_repeated_exactly(
    steps: int, changes: list[tuple[int, int]]
) -> None:
    paces = changed_paces(steps, changes)
    last = paces[-1]
    again = Pace(last.steps, list(last.starts), list(last.lengths))
    assert again == last
    for pace, until in zip(paces, [*last.starts, last.num_steps], strict=True):
        assert [again.course_step(step) for step in range(until)] == [pace.course_step(step) for step in range(until)]


def test_a_change_takes_the_place_of_one_that_was_never_reached() -> None:
    assert Pace(100, (10, 50), (90, 20)).changed(50, 30) == Pace(100, (10, 50), (90, 30))


@pytest.mark.parametrize(
    ("steps", "starts", "lengths"),
    [
        (0, (), ()),
        (10, (5,), ()),
        (10, (5,), (0,)),
        (10, (0,), (5,)),
        (10, (10,), (5,)),
        (10, (5, 5), (5, 5)),
        (10, (5, 8), (3, 3)),
    ],
)
def test_what_is_no_pace_is_refused(steps: int, starts: tuple[int, ...], lengths: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match=r"pace_starts"):
        Pace(steps, starts, lengths)
