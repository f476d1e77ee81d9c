"""A picture that comes through a pipe: `thumbnet predict -`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeAlias

from thumbnet.errors import ConfigError

STDIN = "-"
Rename: TypeAlias = Callable[[str], str]


@contextmanager
def stdin_as_file(names: Sequence[str]) -> Iterator[tuple[Sequence[str], Rename]]:
    """The paths for these names, with stdin as a temporary file for "-", and a function from path to name.

    Raises:
        ConfigError: "-" is among the names more than once.
    """
    if STDIN not in names:
        yield names, lambda path: path
        return
    if names.count(STDIN) > 1:
        raise ConfigError(f"{STDIN!r} is given {names.count(STDIN)} times", hint="stdin can be read only once")
    with TemporaryDirectory(prefix="thumbnet-") as folder:
        path = Path(folder) / "stdin"
        if sys.stdin is not None:
            path.write_bytes(sys.stdin.buffer.read())
        yield (
            [str(path) if name == STDIN else name for name in names],
            lambda each: STDIN if each == str(path) else each,
        )
