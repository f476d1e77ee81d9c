"""The files of a folder: listed, removed, and errors of writing them told."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from thumbnet.errors import RunError


def names_in(folder: Path) -> list[str]:
    return sorted(child.name for child in folder.iterdir())


def remove(folder: Path, names: Sequence[str]) -> None:
    for name in names:
        with told(folder / name):
            (folder / name).unlink(missing_ok=True)


@contextmanager
def told(path: Path) -> Iterator[None]:
    """RunError where writing fails, or a text cannot be UTF-8."""
    try:
        yield
    except (OSError, UnicodeEncodeError) as error:
        raise RunError(f"{path} cannot be written: {error}", hint="check space and permissions") from error


def check_writable(path: Path) -> None:
    """RunError where no file can be made in the folder."""
    probe = path / ".probe"
    try:
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise RunError(f"the folder {path} cannot be written: {error}", hint="check its permissions") from error
