"""A folder of rows: an .npy file for each split, in which every picture file has a row in colour while they are read.

Rows of files that cannot be read, and two of three equal channels where all files are stored in greys, are left out at
the end.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from thumbnet.data.packs.decoding import PartDone
from thumbnet.data.packs.earlier import Earlier, begun_before
from thumbnet.data.packs.facts import SIGNATURE, Facts, readable
from thumbnet.data.packs.listing import DONE, Listing, done_parts, images_file, opened_rows, rows_shape, write_facts
from thumbnet.data.packs.row_file import RowFile
from thumbnet.data.picture_request import PictureRequest

EARLIER_SUFFIX = ".earlier"  # of a folder of rows that was begun with other files

PartDigests = tuple[tuple[int, int, str], ...]  # first row, the row after the last, SHA-256


@dataclass
class Build:
    """A folder in which pictures are being read; `files` are those of the rows, `parts` those that are done."""

    folder: Path
    request: PictureRequest
    listing: Listing
    facts: Facts
    files: dict[str, RowFile]
    parts: dict[tuple[str, int], PartDone]

    def take_images(self) -> dict[str, UInt8[np.ndarray, "_ c h w"]]:
        """The images of each split as maps, when all files are read."""
        self.compact()
        for file in self.files.values():
            file.flush()
        return {split: file.mapped() for split, file in self.files.items()}

    def compact(self) -> None:
        """Leave out the rows of unreadable files, and channels that repeat the first."""
        num_channels = 3 if bool((self.facts["channels"] == 3).any()) else 1
        smaller: dict[str, RowFile] = {}
        for split, file in self.files.items():
            kept = readable(self.facts_of(split))
            _, _, height, width = file.shape
            shape = (len(kept), num_channels, height, width)
            if shape == file.shape or not len(kept):
                continue
            smaller[split] = RowFile.create(self.folder / f"{images_file(split)}.smaller", shape)
            rows = file.mapped()
            for key in [key for key in self.parts if key[0] == split]:
                del self.parts[key]
            for first, last in smaller[split].parts():
                digest = smaller[split].write(first, rows[kept[first:last], :num_channels])
                self.parts[split, first] = PartDone(split, first, self.facts_of(split)[kept[first:last]], digest)
        for split, file in smaller.items():
            place = self.files[split].path
            file.path.replace(place)
            self.files[split] = RowFile(place, file.shape, file.offset)

    def take(self, part: PartDone) -> None:
        """Keep what is known of a part that is done."""
        self.facts_of(part.split)[part.first : part.last] = part.facts
        self.parts[part.split, part.first] = part

    def facts_of(self, split: str) -> Facts:
        """What is known of the files of a split: a view."""
        start = self.listing.starts()[split]
        return self.facts[start : start + len(self.listing.names[split])]

    def files_of(self, split: str) -> tuple[Path, ...]:
        """The files of a split."""
        start = self.listing.starts()[split]
        return self.request.files[start : start + len(self.listing.names[split])]

    def digests(self) -> dict[str, PartDigests]:
        """The checksums of the parts of each split, in order."""
        found: dict[str, list[tuple[int, int, str]]] = {split: [] for split in self.files}
        for split, first in sorted(self.parts):
            part = self.parts[split, first]
            found[split].append((first, part.last, part.sha256))
        return {split: tuple(parts) for split, parts in found.items()}


def begin(request: PictureRequest, how: str, folder: Path, facts: Facts) -> tuple[Build, Earlier | None]:
    """The folder's own reading where it was begun with the same files, else a new one, and what others have left."""
    names, start, all_names = {}, 0, request.names()
    for split, number in request.num_files.items():
        names[split] = tuple(all_names[start : start + number])
        start += number
    listing = Listing(how, names)
    aside = folder.with_name(folder.name + EARLIER_SUFFIX)
    files = opened_rows(folder, listing, request.sides) if Listing.read(folder) == listing else None
    parts = [] if files is None else list(_still_valid(folder, listing, files, facts))
    if files is None or not parts:
        if folder.exists() and _num_bytes_noted(folder, how) < _num_bytes_noted(aside, how):
            shutil.rmtree(folder)  # begun and stopped before it was as far as the one before it
        elif folder.exists():
            shutil.rmtree(aside, ignore_errors=True)
            folder.rename(aside)
        folder.mkdir(parents=True)
        files = {
            split: RowFile.create(folder / images_file(split), rows_shape(listing, split, *request.sides))
            for split in names
        }
        write_facts(folder, facts)
        listing.write(folder)
    build = Build(folder, request, listing, facts, files, {})
    for part in parts:
        build.take(part)
    return build, begun_before(aside, how, request.sides)


def _num_bytes_noted(folder: Path, how: str) -> int:
    """How much a reading has noted of parts that are done; 0 where it is of no use."""
    listing = Listing.read(folder)
    if listing is None or listing.how != how:
        return 0
    try:
        return (folder / DONE).stat().st_size
    except OSError:
        return 0


def _still_valid(folder: Path, listing: Listing, files: Mapping[str, RowFile], facts: Facts) -> Iterator[PartDone]:
    """The parts that are done and whose files have not changed since."""
    starts, wanted = listing.starts(), {split: dict(file.parts()) for split, file in files.items()}
    for part in done_parts(folder, listing, files):
        now = facts[starts[part.split] + part.first : starts[part.split] + part.last]
        is_same = all(np.array_equal(part.facts[name], now[name]) for name in SIGNATURE)
        if is_same and bool((now["ctime_ns"] >= 0).all()) and wanted[part.split].get(part.first) == part.last:
            yield part
