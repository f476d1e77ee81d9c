"""Pictures copied or linked into one folder per predicted class, and one for those that are "unsure" or "unknown" each.

Nothing is moved, deleted or overwritten.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path

from thumbnet.data.copying import copy_file
from thumbnet.errors import DataError, ImageError

MOST_BYTES = 255  # that systems allow in a name
MOST_LETTERS = 60  # of a folder's name: at most 240 bytes
UNSAFE = re.compile(r'[\x00-\x1f\x7f/\\:*?"<>|]')
NAMES_OF_DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)  # on Windows


def folder_names(class_names: Sequence[str]) -> dict[str, str]:
    """By class, the name of its folder: the class's own where every system allows it, else one near to it. All differ,
    also where systems do not tell upper from lower case."""
    safe = {name: _safe(name) for name in class_names}
    taken: set[str] = set()
    chosen: dict[str, str] = {}
    for name in sorted(safe, key=lambda name: safe[name] != name):  # those that keep theirs first
        number, candidate = 1, safe[name]
        while _key(candidate) in taken:
            number += 1
            candidate = f"{safe[name]}-{number}"
        taken.add(_key(candidate))
        chosen[name] = candidate
    return chosen


def name_of_answer(word: str, class_names: Sequence[str]) -> str:
    """A name for what is answered in the place of a class that none of the classes has: the word, if it may be."""
    while word in class_names:
        word += " (no class)"
    return word


class PictureSorter:
    """Puts pictures in `folder`/<class>.

    Args:
        class_names: all classes of the model.
        links: whether symbolic links are made, in place of copies.
        other_answers: what the model may answer in the place of a class.

    Raises:
        DataError: the folder is not there and cannot be made.
    """

    def __init__(
        self, folder: Path, class_names: Sequence[str], *, links: bool = False, other_answers: Sequence[str] = ()
    ) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DataError(
                f"the folder {folder}, which pictures are to be sorted into, cannot be made: {error.strerror}",
                hint="sort into a folder that you may write",
            ) from error
        self._folder, self._links = folder, links
        self._names = {word: name_of_answer(word, class_names) for word in other_answers}
        self._folder_of = folder_names([*class_names, *self._names.values()])
        self._next: dict[Path, int] = {}  # the number to try for a name that is taken
        self.num_sorted = 0

    def add(self, picture: str | Path, class_name: str, *, other_answer: str | None = None) -> Path:
        """Copy or link a picture of a class, or of the answer in its place; returns where it is. Where its name is
        taken, it gets a number.

        Raises:
            ImageError: the system refuses.
        """
        name = class_name if other_answer is None else self._names[other_answer]
        target = self._folder / self._folder_of[name] / Path(picture).name
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            place = self._put(Path(picture), target)
        except OSError as error:
            raise ImageError(
                f"{picture} cannot be put in {target.parent}: {error.strerror}",
                hint="sort into a folder that you may write, on a disk with room",
            ) from error
        self.num_sorted += 1
        return place

    def _put(self, picture: Path, target: Path) -> Path:
        number = self._next.get(target, 1)
        while True:
            place = target if number == 1 else target.with_name(_numbered(target.name, number))
            number += 1
            try:
                if self._links:
                    place.symlink_to(Path.cwd() / picture)
                else:
                    copy_file(picture, place)
            except FileExistsError:
                continue
            self._next[target] = number
            return place


def _numbered(name: str, number: int) -> str:
    """A file's name with a number, and as much of it as there is room for."""
    stem, suffix = Path(name).stem, Path(name).suffix
    if len(os.fsencode(suffix)) > MOST_BYTES // 2:
        stem, suffix = name, ""
    ending = f"-{number}{suffix}"
    while len(os.fsencode(stem + ending)) > MOST_BYTES:
        stem = stem[:-1]
    return stem + ending


def _safe(name: str) -> str:
    text = unicodedata.normalize("NFC", name)
    kept = "".join("_" if UNSAFE.match(letter) or _is_hidden(letter) else letter for letter in text)
    kept = kept.strip(" .")[:MOST_LETTERS].strip(" .")
    if not kept or NAMES_OF_DEVICES.fullmatch(kept):
        kept = f"class-{kept}".rstrip("-")
    return kept


def _is_hidden(letter: str) -> bool:
    """Control and format characters, halves of characters, unknown ones, separators of lines."""
    category = unicodedata.category(letter)
    return category[0] == "C" or category in ("Zl", "Zp")


def _key(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()
