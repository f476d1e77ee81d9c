"""What is known of each picture file of a pack: its size and times, and what decoding found. Without PyTorch."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Int64, Shaped

from thumbnet.data.pictures import Decoded
from thumbnet.data.standardise import EIGHT_BITS, Depth
from thumbnet.data.white_levels import LevelKind

FACTS = np.dtype(
    [
        ("size", "<i8"),  # -1 where the file is not there
        ("mtime_ns", "<i8"),
        ("ctime_ns", "<i8"),  # -1 where a change may have left no trace in the times
        ("channels", "u1"),  # 0 where it cannot be read as a picture, or was not read yet
        ("is_flat", "?"),
        ("kind", "u1"),  # of KINDS
        ("highest", "<f8"),
        ("white", "<f8"),
        ("highest_of_colour", "<i2"),  # -1 where it has 8 bits a channel
    ]
)
SIGNATURE = ("size", "mtime_ns", "ctime_ns")
CHANNELS = (0, 1, 3)
KINDS: tuple[LevelKind | None, ...] = (None, "I;16", "I", "F")
RECENT_NS = 2_000_000_000  # the coarsest clock of a file system in use, FAT's

Facts = Shaped[np.ndarray, " n"]  # of FACTS


def new_facts(files: Sequence[Path], *, now_ns: int) -> Facts:
    """The sizes and times of files that are not read yet.

    A file that changed less than two seconds ago may change once more without its times showing that. So its time of
    change is left out, and it will count as changed the next time.
    """
    facts = np.zeros(len(files), FACTS)
    facts["highest_of_colour"] = -1
    for place, file in enumerate(files):
        try:
            found = os.stat(file)  # noqa: PTH116  # which is twice as fast as Path.stat
        except OSError:
            for name in SIGNATURE:
                facts[name][place] = -1
            continue
        is_recent = any(0 <= now_ns - time_ns < RECENT_NS for time_ns in (found.st_mtime_ns, found.st_ctime_ns))
        facts["size"][place] = found.st_size
        facts["mtime_ns"][place] = found.st_mtime_ns
        facts["ctime_ns"][place] = -1 if is_recent else found.st_ctime_ns
    return facts


def are_unchanged(earlier: Facts, now: Facts) -> Bool[np.ndarray, " n"]:
    """Whether each file has the size and the times that it had when it was read."""
    same = np.ones(len(now), np.bool_)
    for name in SIGNATURE:
        same &= earlier[name] == now[name]
    return same & ((now["ctime_ns"] >= 0) | (now["size"] < 0))


def are_possible(facts: Facts) -> bool:
    """Whether decoding can have found this, whatever file it is from."""
    levels = (facts["highest"], facts["white"])
    is_known = np.isin(facts["channels"], CHANNELS) & (facts["kind"] < len(KINDS))
    return bool(is_known.all() and all(np.isfinite(level).all() for level in levels))


def note_decoded(facts: Facts, place: int, decoded: Decoded) -> None:
    """Keep what decoding a file found."""
    assert decoded.pixels is not None
    depth = decoded.depth
    facts["channels"][place] = len(decoded.pixels)
    facts["is_flat"][place] = decoded.is_flat
    facts["kind"][place] = KINDS.index(depth.kind)
    facts["highest"][place] = 0 if depth.highest is None else depth.highest
    facts["white"][place] = 0 if depth.white is None else depth.white
    facts["highest_of_colour"][place] = -1 if depth.highest_of_colour is None else depth.highest_of_colour


def depths_of(facts: Facts) -> list[Depth]:
    """How deep the pictures with more than 8 bits are, in the order of the files."""
    deep = np.flatnonzero((facts["channels"] > 0) & ((facts["kind"] > 0) | (facts["highest_of_colour"] >= 0)))
    return [_depth(facts[place]) for place in deep.tolist()]


def readable(facts: Facts) -> Int64[np.ndarray, " m"]:
    """The places of the files that could be read."""
    return np.flatnonzero(facts["channels"]).astype(np.int64)


def _depth(fact: np.void) -> Depth:
    kind, colour = KINDS[int(fact["kind"])], int(fact["highest_of_colour"])
    if kind is not None:
        return Depth(kind, float(fact["highest"]), float(fact["white"]))
    return EIGHT_BITS if colour < 0 else Depth(highest_of_colour=colour)
