"""The picture files that names on a command line mean: files, folders and patterns. Without PyTorch."""

from __future__ import annotations

import glob
import os
import re
import stat
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from thumbnet.data.folder_tree import FolderTree
from thumbnet.data.unreadable import OnUnreadable, unreadable_error
from thumbnet.errors import DataError, ImageError

ADDRESS = re.compile("[A-Za-z][A-Za-z0-9+.-]+://")
ANY_DEPTH = "**"
SEPARATORS = os.sep + (os.altsep or "")


def find_pictures(
    names: Sequence[str], *, left_out: Path | None = None, on_unreadable: OnUnreadable | None = None
) -> list[str]:
    """The picture files that names mean, in the order of the names; those of a folder or pattern by name.

    A name is that of a file; of a folder, for all pictures in it and in the folders inside (see folder_tree.py for what
    counts); or a pattern such as `photos/*.png` or `photos/**/*.jpg`, which no shell need have resolved. What exists
    under a name wins over its meaning as a pattern. A name that means none of these is returned as it is. A file that
    several names mean is given once, unless all of them are its own.

    Args:
        left_out: a folder whose files are no one's: those that folders and patterns would give are left out.
        on_unreadable: called for each folder and pattern that has no picture, and each folder that cannot be listed,
            with its name and an error. By default that is raised.

    Raises:
        DataError: no name gives a picture, or one that is named lies in `left_out`.
    """
    search = _Search(left_out)
    for name in names:
        search.add(name)
    problems = search.problems
    if problems and (not search.found or on_unreadable is None):
        raise unreadable_error([error for _, error in problems], len(problems), hint="check these names")
    for name, error in problems:
        if on_unreadable is not None:
            on_unreadable(name, error)
    return search.found


class _Search:
    """Finds what names mean, one after the other. `problems` are the folders and patterns that give nothing."""

    def __init__(self, left_out: Path | None) -> None:
        self.found: list[str] = []
        self._problems: dict[str, tuple[str, ImageError]] = {}
        self._left_out = left_out
        self._outside = _Outside(left_out)
        self._tree = FolderTree(on_unlistable=lambda folder, error: self._report(str(folder), error.message))
        self._is_named: dict[str, bool] = {}  # by place of a file that was found: whether by its own name
        self._real_folders: dict[str, str] = {}

    @property
    def problems(self) -> list[tuple[str, ImageError]]:
        return list(self._problems.values())

    def add(self, name: str) -> None:
        if _is_folder(name):
            if name in self._outside:
                raise DataError(
                    f"{name} is the folder that pictures are sorted into, or lies in it",
                    hint="sort into another folder",
                )
            self._take(f"the folder {name}", name, self._below(name), nothing="has no pictures")
        elif os.path.lexists(name) or ADDRESS.match(name) or not glob.has_magic(name):
            if name in self._outside:
                raise DataError(
                    f"{name} lies in {self._left_out}, which pictures are sorted into",
                    hint="give pictures from elsewhere",
                )
            if self._is_named.setdefault(self._place(name), True):
                self.found.append(name)
        else:
            self._take(f"the pattern {name}", name, self._fitting(name), nothing="fits no picture")

    def _take(self, what: str, name: str, files: Iterable[str], *, nothing: str) -> None:
        """Take the files of a folder or pattern that are new and not left out; report it if it has none."""
        num_problems = len(self._problems)
        is_empty, has_left_out = True, False
        for file in files:
            if file in self._outside:
                has_left_out = True
                continue
            if _keeps_waiting(file):
                self._report(file, f"{file} is not a regular file")
                continue
            is_empty = False
            place = self._place(file)
            if place not in self._is_named:
                self._is_named[place] = False
                self.found.append(file)
        if is_empty and len(self._problems) == num_problems:
            where = f"has pictures only in {self._left_out}, which pictures are sorted into"
            self._report(name, f"{what} {where if has_left_out else nothing}")

    def _fitting(self, pattern: str) -> Iterator[str]:
        for name in sorted(_names_that_fit(_with_existing_folders_literal(pattern))):
            if _is_folder(name):
                yield from self._below(name)
            else:
                yield name

    def _below(self, folder: str) -> list[str]:
        return [str(file) for file in sorted(self._tree.files_below([Path(folder)], ancestors=()))]

    def _place(self, name: str) -> str:
        """The same for all spellings of a name, also for those by links to its folder."""
        folder, last = os.path.split(name)
        if folder not in self._real_folders:
            self._real_folders[folder] = os.path.realpath(folder)
        return os.path.join(self._real_folders[folder], last)  # noqa: PTH118

    def _report(self, name: str, message: str) -> None:
        self._problems.setdefault(
            self._place(name),
            (name, ImageError(message, hint="check the name, the folder that you are in and permissions")),
        )


class _Outside:
    """The names of files that do not lie in a folder are not `in` it."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = None if folder is None else os.path.realpath(folder)

    def __contains__(self, name: str) -> bool:
        if self._folder is None:
            return False
        real = os.path.realpath(name)
        return real == self._folder or Path(self._folder) in Path(real).parents


def _keeps_waiting(name: str) -> bool:
    """Whether reading the file may never end, as of a pipe: who names one by itself wants that."""
    try:
        return not stat.S_ISREG(os.stat(name).st_mode)  # noqa: PTH116
    except OSError:  # reading tells of it
        return False


def _is_folder(name: str) -> bool:
    return os.path.isdir(name)  # noqa: PTH112  # False where the system refuses the name


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
