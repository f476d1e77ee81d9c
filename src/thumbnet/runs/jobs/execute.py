"""A job as it is done in another process: its output by lines with its name, its errors as sentences."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from joblib.externals.loky.cloudpickle_wrapper import dumps, loads  # of whichever cloudpickle joblib has

from thumbnet.data.source_registry import keeping_sources
from thumbnet.data.source_splits import SourceSplits
from thumbnet.errors import ConfigError, ThumbnetError
from thumbnet.runs.jobs.carried import Carried, carrying
from thumbnet.runs.jobs.job import Job, Outcome, Setting
from thumbnet.terminal.text import escaped
from thumbnet.training.threads import computing_with


@dataclass(frozen=True)
class Task:
    """A job with what it needs of the process that it comes from; `command` is the same for the jobs of one call, which
    read the same data."""

    job: Job
    carried: Carried
    command: str


class NamedLines:
    """In the place of sys.stderr: whole lines, each after the job's name, to `put`. It is no terminal."""

    encoding = "utf-8"

    def __init__(self, name: str, put: Callable[[str], None]) -> None:
        self._name, self._put, self._rest = escaped(name), put, ""

    def write(self, text: str, /) -> int:
        *lines, self._rest = (self._rest + text).replace("\r", "\n").split("\n")
        for line in filter(str.strip, lines):
            self._put(f"{self._name}: {line}\n")
        return len(text)

    def flush(self) -> None: ...

    def isatty(self) -> bool:
        return False


_sources: dict[str, dict[str, SourceSplits]] = {}  # of the command whose jobs this process does


def pickled(task: Task) -> bytes:
    """The task for another process.

    Raises:
        ConfigError: something that it needs cannot be sent to one.
    """
    try:
        content: bytes = dumps(task)
    except Exception as error:  # whatever an object of the user's raises
        raise ConfigError(
            f"{task.job.name} cannot be sent to another process: {type(error).__name__}: {error}",
            hint="what was registered or given in Python must be picklable; or leave --jobs and --scheduler out",
        ) from error
    return content


def execute_pickled(name: str, task: bytes, setting: Setting, put: Callable[[str], None]) -> bytes:
    """Do a pickled task in this process; the outcome, pickled."""
    try:
        done = execute(loads(task), setting, put)
    except BaseException as error:  # noqa: BLE001  # a module that this process has not, or one that ends it
        done = Outcome(name, error=f"it could not be read in its process: {type(error).__name__}: {error}")
    try:
        content: bytes = dumps(done)
    except BaseException as error:  # noqa: BLE001
        content = dumps(Outcome(name, error=f"its result cannot be sent back: {type(error).__name__}: {error}"))
    return content


def outcome_of(name: str, content: bytes) -> Outcome:
    """The outcome that `execute_pickled` gave of the job `name`."""
    try:
        outcome = loads(content)
    except Exception as error:  # noqa: BLE001  # a module that is only there
        return Outcome(name, error=f"its result cannot be read here: {type(error).__name__}: {error}")
    assert isinstance(outcome, Outcome)
    return outcome


def execute(task: Task, setting: Setting, put: Callable[[str], None]) -> Outcome:
    """Do a job in this process, which does no other meanwhile; an error, even a call of
    `sys.exit`, becomes a part of the outcome, told with its place.

    Args:
        put: gets what the job writes to stderr, line by line.
    """
    name = task.job.name
    if task.command not in _sources:
        _sources.clear()
    kept = _sources.setdefault(task.command, {})
    with _stderr_named(name, put) as stderr:
        try:
            with carrying(task.carried), computing_with(setting.threads), keeping_sources(kept):
                return Outcome(name, task.job.call(setting))
        except ThumbnetError as error:
            return Outcome(name, error=error.message, hint=error.hint)
        except BaseException as error:  # noqa: BLE001  # a fault of ours or of the user's own code, even an exit
            stderr.write(f"{traceback.format_exc()}\n")
            return Outcome(name, error=f"{type(error).__name__}: {error}")


@contextmanager
def _stderr_named(name: str, put: Callable[[str], None]) -> Iterator[NamedLines]:
    named = NamedLines(name, put)
    before, sys.stderr = sys.stderr, named
    try:
        yield named
    finally:
        sys.stderr = before
