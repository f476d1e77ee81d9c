"""The picture files that names on a command line mean: files, folders and patterns. Without PyTorch."""

from __future__ import annotations

import glob
import os
import re
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from thumbnet.data.folder_tree import FolderTree
from thumbnet.errors import DataError

ADDRESS = re.compile("[A-Za-z][A-Za-z0-9+.-]+://")
ANY_DEPTH = "**"
SEPARATORS = os.sep + (os.altsep or "")


def find_pictures(names: Sequence[str], *, left_out: Path | None = None) -> list[str]:
    """The picture files that names mean, in the order of the names; those of a folder or pattern by name.

    A name is that of a file; of a folder, for all pictures in it and in the folders inside (see folder_tree.py for what
    counts); or a pattern such as `photos/*.png` or `photos/**/*.jpg`, which no shell need have resolved. What exists
    under a name wins over its meaning as a pattern. A name that means none of these is returned as it is.

    Args:
        left_out: a folder whose files are no one's: those that folders and patterns would give are left out.

    Raises:
        DataError: a folder or a pattern has no picture, or a file that is named lies in `left_out`.
    """
    outside = _Outside(left_out)
    found: list[str] = []
    for name in names:
        if _is_folder(name):
            found += _in_folder(name, outside)
        elif os.path.lexists(name) or ADDRESS.match(name) or not glob.has_magic(name):
            if name in outside:
                raise DataError(
                    f"{name} lies in {left_out}, which pictures are sorted into", hint="give pictures from elsewhere"
                )
            found.append(name)
        else:
            found += _of_pattern(name, outside)
    return found


class _Outside:
    """The names of files that do not lie in a folder are not `in` it."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = None if folder is None else os.path.realpath(folder)

    def __contains__(self, name: str) -> bool:
        if self._folder is None:
            return False
        real = os.path.realpath(name)
        return real == self._folder or Path(self._folder) in Path(real).parents


def _in_folder(name: str, outside: _Outside) -> list[str]:
    if name in outside:
        raise DataError(
            f"{name} is the folder that pictures are sorted into, or lies in it", hint="sort into another folder"
        )
    found = _pictures_below(name, outside)
    if not found:
        raise DataError(f"the folder {name} has no pictures", hint="give a folder that has some")
    return found


def _of_pattern(pattern: str, outside: _Outside) -> list[str]:
    found: list[str] = []
    for name in sorted(_names_that_fit(_with_existing_folders_literal(pattern))):
        if _is_folder(name):
            found += [] if name in outside else _pictures_below(name, outside)
        elif name not in outside:
            found.append(name)
    if not found:
        raise DataError(f"the pattern {pattern} fits no picture", hint="check it, or the folder that you are in")
    return list(dict.fromkeys(found))


def _is_folder(name: str) -> bool:
    return os.path.isdir(name)  # noqa: PTH112  # False where the system refuses the name


def _pictures_below(name: str, outside: _Outside) -> list[str]:
    files = sorted(FolderTree().files_below([Path(name)], ancestors=()))
    return [str(file) for file in files if str(file) not in outside]


def _names_that_fit(pattern: str) -> Iterator[str]:
    """The names that fit a pattern. `**` stands for folders at any depth, links followed, each real folder once: the
    recursive search of `glob` does not end where links lead back. At the end, `**` means the folder that it is in."""
    parts = list(_parts(pattern))
    bare = [part.strip(SEPARATORS) for part in parts]
    if ANY_DEPTH not in bare:
        yield from glob.iglob(pattern)  # noqa: PTH207  # `Path.glob` refuses absolute patterns
        return
    place = bare.index(ANY_DEPTH)
    head = "".join(parts[:place]) + parts[place].removesuffix(ANY_DEPTH)  # ends in a separator: only folders fit
    while place < len(bare) and bare[place] in (ANY_DEPTH, ""):
        place += 1
    rest = "".join(parts[place:]).lstrip(SEPARATORS)
    for base in glob.iglob(head) if head else [""]:  # noqa: PTH207
        if not rest:
            yield base or os.curdir
            continue
        for folder in _folders_below(base):
            yield from _names_that_fit(os.path.join(glob.escape(folder), rest))  # noqa: PTH118  # which keeps `./`


def _folders_below(base: str) -> Iterator[str]:
    """A folder and those inside it that are not hidden, each real one once, by a name without links before others."""
    seen: set[tuple[int, int]] = set()
    waiting = deque([base])
    while waiting:
        folder = waiting.popleft()
        try:
            found = os.stat(folder or os.curdir)  # noqa: PTH116
        except OSError:
            continue
        if (found.st_dev, found.st_ino) in seen:
            continue
        seen.add((found.st_dev, found.st_ino))
        yield folder
        with suppress(OSError), os.scandir(folder or os.curdir) as entries:
            shown = (entry for entry in entries if not entry.name.startswith("."))
            folders = [entry for entry in shown if entry.is_dir(follow_symlinks=False) or _is_linked_folder(entry)]
            folders.sort(key=lambda entry: (entry.is_symlink(), entry.name))
            waiting += [os.path.join(folder, entry.name) for entry in folders]  # noqa: PTH118


def _is_linked_folder(entry: os.DirEntry[str]) -> bool:
    return entry.is_symlink() and _is_folder(entry.path)


def _with_existing_folders_literal(pattern: str) -> str:
    """The pattern, in which the names of folders that are there, such as `holiday [2024]`, stand for themselves."""
    drive, rest = os.path.splitdrive(pattern)
    known, literal = drive, glob.escape(drive)
    for part in _parts(rest):
        is_there = os.path.lexists(known + part)
        literal += glob.escape(part) if is_there else part
        known += part
    return literal


def _parts(path: str) -> Iterator[str]:
    """A path cut before its separators."""
    start = 0
    for place, letter in enumerate(path):
        if letter in SEPARATORS and place > start:
            yield path[start:place]
            start = place
    yield path[start:]
