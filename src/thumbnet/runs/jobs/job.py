"""A job and what came of it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from thumbnet.errors import JobsFailedError
from thumbnet.terminal.text import counted
from thumbnet.training.state import TrainingState


def keep_going(state: TrainingState) -> None:
    """For `on_epoch_end`: go on."""


@dataclass(frozen=True)
class Setting:
    """Where a job is done.

    Args:
        threads: that it is to compute with. Its process computes with so many already; it is for what is recorded.
        folder: the job's folder: the caller's own, or a copy of it where that cannot be seen.
        on_epoch_end: to be given to a training: raises where the caller has left or called the job off.
    """

    threads: int
    folder: Path
    on_epoch_end: Callable[[TrainingState], None] = keep_going


@dataclass(frozen=True)
class Job:
    """Something to be done in another process: what it refers to can be pickled, or is in a module there.

    Args:
        name: a word for people, no two alike; where the job writes a folder, it is the name of that in `folder`.
        call: does it; what it returns can be pickled.
        folder: holds what the job reads, in files, and gets the folder `name`. None: the job reads and writes no files.
        runs: whole paths of trained runs that it reads besides, which must be there where it is done.
    """

    name: str
    call: Callable[[Setting], object]
    folder: Path | None = None
    runs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """What came of a job: its value, or why it has none, as a sentence with a hint. `has_died`: it has none because its
    process or worker was lost, not by an error of its own."""

    name: str
    value: object = None
    error: str | None = None
    hint: str = ""
    has_died: bool = False


class Workers(AbstractContextManager["Workers"]):
    """Those that do jobs. At the end of the `with`, whatever they still do is stopped."""

    @property
    @abstractmethod
    def is_busy(self) -> bool:
        """Whether a job is being done."""

    @abstractmethod
    def begin(self, job: Job) -> bool:
        """Give the job to one that has nothing to do; False where there is none."""

    @abstractmethod
    def ended(self) -> Iterator[Outcome]:
        """Wait for a while until a job has ended; its outcome, if one has."""


def check_all_done(outcomes: Sequence[Outcome], *, hint: str) -> None:
    """JobsFailedError, which names each that has failed and says why, where one has."""
    failed = [outcome for outcome in outcomes if outcome.error is not None]
    if not failed:
        return
    reasons = "".join(f"\n  {outcome.name}: {outcome.error}{_and(outcome.hint)}" for outcome in failed)
    raise JobsFailedError(f"{len(failed)} of {counted(len(outcomes), 'job')} failed:{reasons}", hint=hint)


def _and(hint: str) -> str:
    return f" ({hint})" if hint else ""
