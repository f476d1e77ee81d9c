"""Jobs all of whose values are needed: which are done once more. The processes are those of tests/test_jobs.py."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from thumbnet.errors import JobsFailedError
from thumbnet.runs.jobs.all_values import all_values
from thumbnet.runs.jobs.job import Job, Outcome, Setting
from thumbnet.specs.at_once import AtOnce
from thumbnet.specs.processors import num_processors

KILLED = Outcome("b", error="its process ended", has_died=True)


@pytest.fixture
def ends(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[tuple[str, int | None, int | None]]]:
    """What jobs end with, call by call of `run_jobs`; of each call the names, how many at once, and the threads."""

    def ends_with(*rounds: Sequence[Outcome]) -> list[tuple[str, int | None, int | None]]:
        left, calls = iter(rounds), list[tuple[str, int | None, int | None]]()

        def run(
            jobs: Sequence[Job], at_once: AtOnce, *, threads: int | None, say: Any, on_end: Any, hint: str
        ) -> object:
            assert hint == "check again"  # where a cluster is lost, too: there is no --resume
            calls.append(("".join(job.name for job in jobs), at_once.jobs, threads))
            outcomes = list(next(left))
            for outcome in outcomes:
                on_end(outcome)
            return outcomes

        monkeypatch.setattr("thumbnet.runs.jobs.all_values.run_jobs", run)
        return calls

    return ends_with


def nothing(setting: Setting) -> None:
    """What is never called here."""


def values_of_abc(said: list[str]) -> list[object]:
    jobs = [Job(name, nothing) for name in "abc"]
    return all_values(jobs, AtOnce(jobs=2), say=said.append, hint="check again")


def test_where_all_values_are_needed_one_that_died_is_done_once_more(ends: Any) -> None:
    calls = ends([Outcome("a", 1), KILLED, Outcome("c", 3)], [Outcome("b", 2)])
    said: list[str] = []
    assert values_of_abc(said) == [1, 2, 3]
    share = max(1, num_processors() // 2)
    assert calls == [("abc", 2, share), ("b", 1, share)]
    assert said == [
        "a is finished (1 of 3)",
        "b: its process ended: it is done once more, after the others",
        "c is finished (2 of 3)",
        "b is finished (3 of 3)",
    ]


def test_each_has_a_share_of_as_many_as_there_are(ends: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of sixteen processors eight, where two jobs are to be done eight at once."""
    monkeypatch.setattr("thumbnet.specs.at_once.num_processors", lambda: 16)
    calls = ends([Outcome("a", 1), Outcome("b", 2)])
    all_values([Job(name, nothing) for name in "ab"], AtOnce(jobs=8), say=lambda _: None, hint="check again")
    assert calls == [("ab", 8, 8)]


def test_one_that_dies_twice_or_fails_by_itself_is_not_done_again(ends: Any) -> None:
    calls = ends([KILLED, Outcome("c", 3), Outcome("a", 1)], [KILLED])
    with pytest.raises(JobsFailedError, match="1 of 3 jobs failed:\n  b: its process ended") as caught:
        values_of_abc([])
    assert (caught.value.hint, len(calls)) == ("check again", 2)
    calls = ends([Outcome("b", error="no data", hint="give some"), Outcome("a", 1)])
    said: list[str] = []
    with pytest.raises(JobsFailedError, match=r"b: no data \(give some\)"):
        values_of_abc(said)
    assert (said, len(calls)) == ([], 1)
