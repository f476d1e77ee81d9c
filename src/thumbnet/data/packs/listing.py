"""Which files a folder of rows was begun with: their names and facts, how they are read, and which parts are done.

listing.json    the pack's kind of reading and the names of the files, by split
facts.npy       what is known of each file (facts.py)
done.jsonl      a line for each part that is done, with the checksum of its images and of its facts
sealed.json     when all is done: the checksums of the first two

A part counts as done only if both checksums are right, so that nothing depends on what a crash left on the disk.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from thumbnet.atomic import write_atomically
from thumbnet.data.npy import array_from_bytes
from thumbnet.data.packs.decoding import PartDone
from thumbnet.data.packs.facts import FACTS, Facts, are_possible
from thumbnet.data.packs.row_file import RowFile
from thumbnet.errors import DataError

LISTING = "listing.json"
FACTS_FILE = "facts.npy"
DONE = "done.jsonl"
SEAL = "sealed.json"


@dataclass(frozen=True)
class Listing:
    """`how` stands for all that decides what pixels a file becomes; `names` are the files' paths, split by split."""

    how: str
    names: Mapping[str, tuple[str, ...]]

    def write(self, folder: Path) -> None:
        """Keep it in the folder."""
        write_atomically(folder / LISTING, json.dumps({"how": self.how, "names": self.names}))

    @classmethod
    def read(cls, folder: Path) -> Listing | None:
        """That of a folder; None where there is none that can be read."""
        try:
            values = json.loads((folder / LISTING).read_bytes())
            names = {str(split): tuple(map(str, files)) for split, files in values["names"].items()}
            return cls(str(values["how"]), names)
        except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return None

    def starts(self) -> dict[str, int]:
        """The place of each split's first file among those of all splits."""
        ends = np.cumsum([0, *(len(files) for files in self.names.values())]).tolist()
        return dict(zip(self.names, ends, strict=False))

    def __len__(self) -> int:
        return sum(len(files) for files in self.names.values())


def images_file(split: str) -> str:
    """The name of the file with a split's images."""
    return f"{split}-images.npy"


def rows_shape(listing: Listing, split: str, height: int, width: int) -> tuple[int, int, int, int]:
    """The shape of a split's images while they are read: a row for each file, in colour."""
    return len(listing.names[split]), 3, height, width


def read_facts(folder: Path, number: int) -> Facts | None:
    """The facts that a folder keeps of so many files; None where it has none."""
    try:
        facts = array_from_bytes((folder / FACTS_FILE).read_bytes())
    except (OSError, ValueError):
        return None
    return facts if facts.dtype == FACTS and facts.shape == (number,) and are_possible(facts) else None


def write_facts(folder: Path, facts: Facts) -> None:
    """Keep the facts of all files."""
    np.save(folder / FACTS_FILE, facts, allow_pickle=False)


def seal(folder: Path) -> None:
    """Note that the listing and the facts are right as they are."""
    write_atomically(folder / SEAL, json.dumps(_checksums(folder)))
    (folder / DONE).unlink(missing_ok=True)


def is_sealed(folder: Path) -> bool:
    """Whether the listing and the facts are those that were sealed."""
    try:
        return bool(json.loads((folder / SEAL).read_bytes()) == _checksums(folder))
    except (OSError, ValueError, RecursionError):
        return False


class DoneLog:
    """Notes parts as they are done, their facts in the file of all facts."""

    def __init__(self, folder: Path, listing: Listing) -> None:
        self._folder, self._starts = folder, listing.starts()
        with (folder / FACTS_FILE).open("rb") as file:
            np.lib.format.read_magic(file)
            np.lib.format.read_array_header_1_0(file)
            self._offset = file.tell()

    def add(self, part: PartDone) -> None:
        """Keep the facts of a part, then that it is done."""
        with (self._folder / FACTS_FILE).open("r+b") as file:
            file.seek(self._offset + (self._starts[part.split] + part.first) * FACTS.itemsize)
            file.write(part.facts.tobytes())
        line = {"split": part.split, "first": part.first, "last": part.last, "images": part.sha256}
        line["facts"] = _digest(part.facts)
        with (self._folder / DONE).open("a", encoding="utf-8") as log:
            log.write(json.dumps(line) + "\n")


def done_parts(folder: Path, listing: Listing, files: Mapping[str, RowFile]) -> Iterator[PartDone]:
    """The parts that are surely done, each once: their images and facts have the checksums that were noted."""
    facts = read_facts(folder, len(listing))
    try:
        lines = (folder / DONE).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return
    noted: dict[tuple[str, int, int], tuple[str, str]] = {}  # the last line of a part holds
    for line in lines:
        try:
            values = json.loads(line)
            split, first, last = str(values["split"]), int(values["first"]), int(values["last"])
            digests = str(values["images"]), str(values["facts"])
        except (ValueError, TypeError, KeyError, OverflowError, RecursionError):  # the last line may have been cut off
            continue
        if split in files and 0 <= first < last <= len(files[split]):
            noted[split, first, last] = digests
    starts = listing.starts()
    for (split, first, last), (of_images, of_facts) in noted.items():
        if facts is None:
            return
        own = facts[starts[split] + first : starts[split] + last]
        try:
            if _digest(own) == of_facts and files[split].digest(first, last) == of_images:
                yield PartDone(split, first, own, of_images)
        except OSError:
            continue


def opened_rows(folder: Path, listing: Listing, sides: tuple[int, int]) -> dict[str, RowFile] | None:
    """The files of rows that were begun with a listing; None where one is not there or has another shape."""
    try:
        return {
            split: RowFile.open(folder / images_file(split), rows_shape(listing, split, *sides))
            for split in listing.names
        }
    except DataError:
        return None


def _checksums(folder: Path) -> dict[str, str]:
    return {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in (LISTING, FACTS_FILE)}


def _digest(facts: Facts) -> str:
    return hashlib.sha256(facts.tobytes()).hexdigest()
