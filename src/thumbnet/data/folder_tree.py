"""What counts in a tree of folders of pictures: not what systems, cameras, network drives and thumbnet itself leave.

What is left out is known by its name. Everything else is taken for a picture, so that a file that is none is reported.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from thumbnet.errors import DataError

# .db and .ini: Windows' Thumbs.db and desktop.ini; .ctg, .thm, .lrv, .xmp, .aae, .pp3 and .dop: what cameras and photo
# programs put beside their pictures
NOT_IMAGE_SUFFIXES = frozenset(
    {".csv", ".db", ".htm", ".html", ".ini", ".json", ".jsonl", ".log", ".md", ".pdf", ".py", ".rst", ".toml", ".tsv"}
    | {".txt", ".xml", ".yaml", ".yml"}
    | {".ctg", ".thm", ".lrv", ".xmp", ".aae", ".pp3", ".dop"}
)
SYSTEM_FOLDERS = frozenset(
    {"__macosx", "@eadir", "#recycle", "#snapshot", "@recycle", "@recently-snapshot", "$recycle.bin", "lost+found"}
    | {"system volume information", "network trash folder", "temporary items"}
)
SYSTEM_FILES = frozenset({"icon\r"})  # a folder's icon on macOS
# Streams of a file that stand beside it as files of their own. WSL writes the colon as the character U+F03A.
STREAMS = ("zone.identifier", "zone.identifier:$data", "smartscreen", "encryptable", "afp_afpinfo")
STREAM_ENDINGS = (
    *(f"{colon}{stream}" for colon in (":", "\uf03a") for stream in STREAMS),
    *("@synoeastream", "@synoresource"),  # of network drives by Synology
)

RUN_CONFIG = "config.toml"
RUN_FIELDS = frozenset({"recipe", "model", "epochs", "lr", "schedule"})  # that every run's config states
OUTPUT_FILES = (frozenset({"suspects.csv", "check.json"}), frozenset({"comparison.json"}))  # of a check, a comparison
RUN_PREFIXES = ("seed-", "fold-")  # of the runs in a folder of several seeds or folds
OUTPUT_DEPTH = 2  # runs/<seeds>/seed-<n>


@dataclass(frozen=True)
class Listing:
    """The sub-folders and the files of a folder that count, by name."""

    folders: tuple[Path, ...]
    files: tuple[Path, ...]


Inside: TypeAlias = tuple[list[Path], list[Path]]  # a folder's sub-folders and files


@dataclass
class FolderTree:
    """Lists folders, each once. `outputs` are the folders met so far that thumbnet itself wrote.

    A folder that cannot be listed and a name that is no UTF-8 are DataErrors. But if there is an `on_unlistable`, that
    is called for such a folder, which is then empty, and every name is taken as it is; with an `on_foreign_name`, that
    is called for a folder with names that are no UTF-8, which are then left out. `on_listed` is called with the number
    of files found in each folder.
    """

    on_unlistable: Callable[[Path, DataError], object] | None = None
    on_foreign_name: Callable[[Path, DataError], object] | None = None
    on_listed: Callable[[int], object] | None = None
    outputs: list[Path] = field(default_factory=list)
    _listings: dict[Path, Listing] = field(default_factory=dict)
    _seen: dict[Path, Inside] = field(default_factory=dict)  # while it was asked whether thumbnet wrote a folder

    def folders(self, folder: Path) -> tuple[Path, ...]:
        return self._list(folder).folders

    def files(self, folder: Path) -> tuple[Path, ...]:
        return self._list(folder).files

    def files_below(self, folders: Iterable[Path], *, ancestors: Iterable[Path]) -> list[Path]:
        """The files in the folders and in those inside them, links followed, each real folder once.

        A link back to one of the `ancestors` is not followed.
        """
        seen = {_identity(ancestor) for ancestor in ancestors}
        found: list[Path] = []
        waiting = list(folders)
        while waiting:
            folder = waiting.pop()
            try:
                identity = _identity(folder)
            except DataError as error:
                self._refuse(folder, error)
                continue
            if identity not in seen:
                seen.add(identity)
                found += self.files(folder)
                waiting += self.folders(folder)
        return found

    def _list(self, folder: Path) -> Listing:
        known = self._listings.get(folder)
        if known is None:
            is_lenient = self.on_unlistable is not None
            try:
                listed = self._seen.pop(folder) if folder in self._seen else _visible(folder, is_lenient=is_lenient)
                folders, files = listed
            except DataError as error:
                self._refuse(folder, error)
                folders, files = [], []
            if self.on_foreign_name is not None:
                folders, files = self._without_foreign_names(folder, folders, files)
            outputs = [inner for inner in folders if is_output(inner, is_lenient=is_lenient, seen=self._seen)]
            self.outputs += outputs
            known = Listing(
                tuple(inner for inner in folders if inner not in outputs),
                tuple(file for file in files if file.suffix.lower() not in NOT_IMAGE_SUFFIXES),
            )
            self._listings[folder] = known
            if self.on_listed is not None:
                self.on_listed(len(known.files))
        return known

    def _without_foreign_names(
        self, folder: Path, folders: list[Path], files: list[Path]
    ) -> tuple[list[Path], list[Path]]:
        foreign = [inner.name for inner in (*folders, *files) if _is_foreign(inner.name)]
        if foreign and self.on_foreign_name is not None:
            self.on_foreign_name(folder, _foreign_name(folder, foreign))
        own_folders, own_files = (
            [inner for inner in inners if not _is_foreign(inner.name)] for inners in (folders, files)
        )
        return own_folders, own_files

    def _refuse(self, folder: Path, error: DataError) -> None:
        if self.on_unlistable is None:
            raise error
        self.on_unlistable(folder, error)


def describe_outputs(outputs: Sequence[Path], path: Path) -> tuple[str, ...]:
    """A sentence where folders inside `path` are left out since thumbnet wrote them."""
    if not outputs:
        return ()
    names = ", ".join(sorted(output.relative_to(path).as_posix() for output in outputs))
    return (f"Left out, since thumbnet itself wrote it: {names}.",)


def is_output(
    folder: Path, *, depth: int = OUTPUT_DEPTH, is_lenient: bool = False, seen: dict[Path, Inside] | None = None
) -> bool:
    """Whether thumbnet wrote the folder: a run, runs with several seeds or folds, a check of data, a comparison, or a
    folder of nothing but such folders. Leniently, a folder that cannot be listed is none of these. What was listed
    for it is kept in `seen`."""
    try:
        folders, files = _visible(folder, is_lenient=is_lenient)
    except DataError:
        if not is_lenient:
            raise
        return False
    if seen is not None:
        seen[folder] = folders, files
    names = {file.name for file in files}
    if any(kind <= names for kind in OUTPUT_FILES) or (RUN_CONFIG in names and _is_run_config(folder / RUN_CONFIG)):
        return True
    if depth == 0:
        return False
    seeds = [inner for inner in folders if inner.name.startswith(RUN_PREFIXES)]
    if seeds:
        return any(is_output(inner, depth=0, is_lenient=is_lenient, seen=seen) for inner in seeds)
    return (
        bool(folders)
        and not files
        and all(is_output(inner, depth=depth - 1, is_lenient=is_lenient, seen=seen) for inner in folders)
    )


def _is_run_config(path: Path) -> bool:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8")).keys() >= RUN_FIELDS
    except (OSError, ValueError, RecursionError):
        return False


def _visible(folder: Path, *, is_lenient: bool) -> tuple[list[Path], list[Path]]:
    """The sub-folders and files of a folder whose names do not say that they are hidden or a system's, sorted. Names
    that are no UTF-8 are refused unless `is_lenient`."""
    folders: list[str] = []
    files: list[str] = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if _is_companion(entry.name):
                    continue
                if not is_lenient and _is_foreign(entry.name):
                    raise _foreign_name(folder, [entry.name])
                (folders if _is_folder(entry) else files).append(entry.name)
    except OSError as error:
        raise DataError(
            f"the folder {folder} cannot be listed: {error.strerror}", hint="check its permissions"
        ) from error
    return _in_order(folder, folders), _in_order(folder, files)


def _in_order(folder: Path, names: list[str]) -> list[Path]:
    """Sorted as paths are, but by the names alone, which is faster."""
    return [folder / name for name in sorted(names, key=os.path.normcase)]


def _is_foreign(name: str) -> bool:
    """Whether a name has bytes that are no UTF-8."""
    return any("\ud800" <= letter <= "\udfff" for letter in name)


def _foreign_name(folder: Path, names: Sequence[str]) -> DataError:
    first = f"{os.fsencode(names[0])!r}"
    if len(names) == 1:
        return DataError(f"a name in {folder} is not UTF-8: {first}", hint="rename the file")
    return DataError(f"{len(names):,} names in {folder} are not UTF-8, for instance {first}", hint="rename the files")


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself, or to a name that the system refuses
        return False


def _is_companion(name: str) -> bool:
    lower = name.lower()
    return name.startswith(".") or lower in SYSTEM_FOLDERS or lower in SYSTEM_FILES or lower.endswith(STREAM_ENDINGS)


def _identity(folder: Path) -> tuple[int, int]:
    try:
        found = folder.stat()
    except OSError as error:
        raise DataError(
            f"the folder {folder} cannot be read: {error.strerror}", hint="check its permissions"
        ) from error
    return found.st_dev, found.st_ino
