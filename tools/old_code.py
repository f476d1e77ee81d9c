"""A plugin of pytest that runs today's tests on an older thumbnet, and writes each outcome as a line of JSON.

What a test imports from thumbnet and is not there yet stands in for itself until it is used: so one new name does not
keep the other tests of a file from running. tools/check_rows.py starts pytest with it (`-p old_code`).
"""

from __future__ import annotations

import builtins
import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

OUTCOMES = "THUMBNET_OUTCOMES"  # the file that the lines are appended to
TESTS = str(Path.cwd() / "tests")
RUNNING: list[bool] = []  # not empty once all files are imported
import_really = builtins.__import__


class NotThereError(Exception):
    """What is used does not exist in this version."""


class StandIn:
    """In place of a name that does not exist; it may be looked at, but not used."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return f"<{self._name}, which does not exist>"

    def __getattr__(self, name: str) -> StandIn:
        if name.startswith("__"):  # as a library asks what kind of thing it is
            raise AttributeError(name)
        return StandIn(f"{self._name}.{name}")

    def _refuse(self, *args: object, **options: object) -> Any:
        raise NotThereError(f"{self._name} does not exist")

    def _with(self, other: object) -> StandIn:
        return self

    def __call__(self, *args: object, **options: object) -> Any:
        return self._refuse() if RUNNING else self  # a file may make things for its tests where it is imported

    __iter__ = __getitem__ = __contains__ = __enter__ = __fspath__ = __index__ = _refuse
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __or__ = _with


def import_for_tests(
    name: str,
    globals: Mapping[str, object] | None = None,  # noqa: A002 (as Python calls them)
    locals: Mapping[str, object] | None = None,  # noqa: A002
    fromlist: Sequence[str] | None = (),
    level: int = 0,
) -> Any:
    """`__import__`, but in the tests' files `from thumbnet.a import b` always gives a thing."""
    is_of_tests = str((globals or {}).get("__file__", "")).startswith(TESTS)
    if not (is_of_tests and fromlist and name.partition(".")[0] == "thumbnet"):
        return import_really(name, globals, locals, fromlist or (), level)
    try:
        module: ModuleType | None = import_really(name, globals, locals, fromlist, level)
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith("thumbnet"):
            raise
        module = None
    if all(hasattr(module, wanted) for wanted in fromlist):
        return module
    return SimpleNamespace(**{wanted: getattr(module, wanted, StandIn(f"{name}.{wanted}")) for wanted in fromlist})


def pytest_load_initial_conftests() -> None:
    """Before the first of the tests' files is imported."""
    builtins.__import__ = import_for_tests


def pytest_collection_finish() -> None:
    """From now on what does not exist is refused when it is called."""
    RUNNING.append(True)


def pytest_exception_interact(
    node: pytest.Item | pytest.Collector, call: pytest.CallInfo[Any], report: pytest.TestReport | pytest.CollectReport
) -> None:
    """A test failed, or could not be set up, or its file could not be imported."""
    assert call.excinfo is not None
    write(node.nodeid, "failed", told(call.excinfo.value, report.capstderr))


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """A test passed or was skipped."""
    if report.skipped or (report.passed and report.when == "call"):
        write(report.nodeid, report.outcome, "")


def told(error: BaseException, stderr: str) -> str:
    """An error in a line; where all that is known is a command's exit status, with what it printed last."""
    text = " ".join(str(error).split())
    if not isinstance(error, AssertionError | NotThereError | pytest.fail.Exception):
        text = f"{type(error).__name__}: {text}"
    printed = stderr.strip().splitlines()
    if printed and (isinstance(error, SystemExit) or re.match(r"assert \d+ == 0\b", text)):
        text += f" ({printed[-1].strip()})"
    return text


def write(test: str, outcome: str, text: str) -> None:
    with Path(os.environ[OUTCOMES]).open("a") as file:
        file.write(json.dumps({"test": test, "outcome": outcome, "text": text}) + "\n")
