"""Where a verb's results go: stdout, or a file that it was asked to write."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from thumbnet.errors import ConfigError, ThumbnetError
from thumbnet.runs.files.names import check_no_part_of_a_run
from thumbnet.terminal.text import escaped


class OutputError(ThumbnetError):
    """Stdout cannot be written, as on a full disk. (A reader that has left is a BrokenPipeError.)"""


class PartlyDoneError(ThumbnetError):
    """A verb did what it could, and this is what it could not do: told at the end, exit code 1."""

    def __init__(self, error: ThumbnetError) -> None:
        super().__init__(error.message, hint=error.hint)


def put(text: object) -> None:
    """Write a result to stdout, foreign text in it escaped.

    Raises:
        BrokenPipeError: nobody reads stdout any more.
        OutputError: it cannot be written for another reason.
    """
    _checked(lambda: print(escaped(str(text), keep="\n\t")))


def put_part(text: str) -> None:
    """The same without the end of the line."""
    _checked(lambda: print(escaped(text, keep="\n\t"), end=""))


def put_utf8(text: str) -> None:
    """Write data for programs to stdout exactly as it is, in UTF-8; on a terminal, foreign text in it escaped."""

    def write() -> None:
        binary = getattr(sys.stdout, "buffer", None)  # a stream that stands in for stdout may have none
        if binary is None or sys.stdout.isatty():
            print(escaped(text.replace("\r\n", "\n"), keep="\n\t"), end="")
        else:
            binary.write(text.encode("utf-8", "surrogateescape"))

    _checked(write)


def put_json(values: Mapping[str, Any]) -> None:
    """Write a result to stdout as one line of JSON; ThumbnetError where it holds a number that JSON has not, as NaN."""
    try:
        text = json.dumps(values, allow_nan=False)
    except ValueError as error:
        raise ThumbnetError(
            f"the results hold a number that is not finite: {error}", hint="look at them without --json"
        ) from error
    put(text)


def flush() -> None:
    """See that all results are written; raises as `put`."""
    if sys.stdout is not None:
        _checked(sys.stdout.flush)


def check_out(name: str, suffixes: Collection[str]) -> None:
    """ConfigError where `write_file` could not write the file, before anything is computed for it."""
    path = Path(name)
    if path.suffix.lower() not in suffixes:
        raise ConfigError(f"cannot write {name}: its name does not say how", hint=f"end it in {', '.join(suffixes)}")
    if not path.absolute().parent.is_dir():
        raise ConfigError(f"{name} cannot be written: there is no folder {path.parent}", hint="make the folder first")


def write_file(name: str, write: Callable[[Path], None], *, tell: bool = True) -> None:
    """Let `write` make the file, and `tell` its name on stdout; ConfigError where it cannot be written."""
    check_no_part_of_a_run(name)
    try:
        write(Path(name))
    except OSError as error:
        raise ConfigError(
            f"{name} cannot be written: {error}", hint="name a file in a folder that you may write"
        ) from error
    if tell:
        put(name)


def _checked(write: Callable[[], None]) -> None:
    try:
        write()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError(
            f"stdout cannot be written: {error}", hint="make room, or send the output to another place"
        ) from error
