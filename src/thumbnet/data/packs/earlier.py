"""Images that an earlier pack of the same folder has: what did not change is copied from it, not decoded again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int64

from thumbnet.data.packs.facts import Facts, are_unchanged, readable
from thumbnet.data.packs.listing import Listing, done_parts, is_sealed, opened_rows, read_facts
from thumbnet.data.packs.row_file import RowFile
from thumbnet.specs.sizes import Sides


@dataclass(frozen=True)
class Earlier:
    """`facts` of the files called `names`, whose images are the `rows` of `files`, by split; -1 where there is none."""

    names: Mapping[str, int]
    splits: tuple[str, ...]
    rows: Int64[np.ndarray, " n"]
    facts: Facts
    files: Mapping[str, RowFile]


def begun_before(folder: Path, how: str, sides: Sides) -> Earlier | None:
    """What a reading that was stopped has left; None where that is of no use."""
    listing = Listing.read(folder)
    if listing is None or listing.how != how:
        return None
    files = opened_rows(folder, listing, sides)
    facts = read_facts(folder, len(listing))
    if files is None or facts is None:
        return None
    rows, starts = np.full(len(listing), -1, np.int64), listing.starts()
    for part in done_parts(folder, listing, files):
        start = starts[part.split]
        rows[start + part.first : start + part.last] = np.arange(part.first, part.last)
    rows[facts["channels"] == 0] = -1
    return _earlier(listing, rows, facts, files)


def kept_before(folder: Path, how: str, files: Mapping[str, RowFile]) -> Earlier | None:
    """What a whole pack has, whose arrays have a row for each file that could be read."""
    listing = Listing.read(folder) if is_sealed(folder) else None
    facts = None if listing is None else read_facts(folder, len(listing))
    if listing is None or facts is None or listing.how != how or set(files) != set(listing.names):
        return None
    rows = np.full(len(listing), -1, np.int64)
    for split, start in listing.starts().items():
        found = start + readable(facts[start : start + len(listing.names[split])])
        if len(found) != len(files[split]):
            return None
        rows[found] = np.arange(len(found))
    return _earlier(listing, rows, facts, files)


def _earlier(listing: Listing, rows: Int64[np.ndarray, " n"], facts: Facts, files: Mapping[str, RowFile]) -> Earlier:
    names = [name for inside in listing.names.values() for name in inside]
    splits = tuple(split for split, inside in listing.names.items() for _ in inside)
    return Earlier({name: place for place, name in enumerate(names)}, splits, rows, facts, files)


def find_copies(names: Sequence[str], facts: Facts, earlier: Earlier) -> Int64[np.ndarray, " n"]:
    """The place in `earlier` of each file that has not changed and whose image is there, else -1."""
    places = np.array([earlier.names.get(name, -1) for name in names], np.int64)
    known = np.flatnonzero(places >= 0)
    of_known = places[known]
    is_same = are_unchanged(earlier.facts[of_known], facts[known]) & (earlier.rows[of_known] >= 0)
    places[known[~is_same]] = -1
    return places
