"""One part of a pack: decoded, or copied from an earlier pack, and written. Runs in processes without PyTorch."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Int64, UInt8

from thumbnet.data.packs.facts import Facts, note_decoded
from thumbnet.data.packs.row_file import RowFile
from thumbnet.data.pictures import Decoded, decode_picture
from thumbnet.errors import DataError, ImageError
from thumbnet.specs.data import WhiteLevels
from thumbnet.specs.sizes import Fit

Map: TypeAlias = Callable[..., Iterable[Decoded | ImageError]]  # as `map` is


@dataclass(frozen=True)
class Copies:
    """Rows of a part whose images another file has: `rows` of the part are its rows `earlier`."""

    file: RowFile
    rows: Int64[np.ndarray, " n"]
    earlier: Int64[np.ndarray, " n"]


@dataclass(frozen=True)
class PartTask:
    """The rows of `images` from `first` on, those of the picture `files`; `facts` are known of rows that are copied."""

    split: str
    first: int
    files: tuple[Path, ...]
    facts: Facts
    images: RowFile
    fit: Fit
    white_levels: WhiteLevels | None
    copies: tuple[Copies, ...] = ()

    @property
    def last(self) -> int:
        """The row after the last."""
        return self.first + len(self.files)


@dataclass(frozen=True)
class PartDone:
    """What is known of the files of a part, and the SHA-256 of its images."""

    split: str
    first: int
    facts: Facts
    sha256: str

    @property
    def last(self) -> int:
        """The row after the last."""
        return self.first + len(self.facts)


def do_part(task: PartTask, decode_all: Map = map) -> PartDone:
    """Decode the files that are not copied, and write all rows; those that cannot be read are black."""
    facts, rows = _decoded(task, decode_all)
    return _written(task, facts, rows)


def _written(task: PartTask, facts: Facts, rows: UInt8[np.ndarray, "n c h w"]) -> PartDone:
    return PartDone(task.split, task.first, facts, task.images.write(task.first, rows))


def _decoded(task: PartTask, decode_all: Map) -> tuple[Facts, UInt8[np.ndarray, "n c h w"]]:
    _, _, height, width = task.images.shape
    rows = np.zeros((len(task.files), 3, height, width), np.uint8)
    facts = task.facts.copy()
    for copies in task.copies:
        rows[copies.rows] = copies.file.mapped()[copies.earlier]
    missing = np.flatnonzero(facts["channels"] == 0).tolist()
    decode = partial(decode_picture, image_size=(height, width), fit=task.fit, white_levels=task.white_levels)
    for place, decoded in zip(missing, decode_all(decode, [task.files[place] for place in missing]), strict=True):
        if isinstance(decoded, Decoded) and decoded.pixels is not None:
            rows[place] = decoded.pixels
            note_decoded(facts, place, decoded)
    return facts, rows


def do_part_in_worker(task: PartTask, waiting: int) -> PartDone:
    """`do_part` in a process of its own, which leaves Ctrl-C to the process `waiting` for it.

    DataError where that was killed meanwhile: another one may have gone on with the folder, in which the same rows can
    be other pictures now.
    """
    if os.getpid() == waiting:  # which joblib may have do it, within a worker of its own
        return do_part(task)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    facts, rows = _decoded(task, map)
    if os.getppid() != waiting:
        raise DataError("the process that reads the pictures has ended", hint="begin again: what was read is kept")
    return _written(task, facts, rows)


def do_parts(tasks: Sequence[PartTask], *, num_processes: int) -> Iterator[PartDone]:
    """The parts as they are done, in any order, by so many processes.

    Raises:
        DataError: the system ended one of them.
    """
    from concurrent.futures.process import BrokenProcessPool

    import joblib

    parallel: Any = joblib.Parallel(
        n_jobs=num_processes,
        backend="loky",
        return_as="generator_unordered",
        batch_size=1,
        max_nbytes=None,  # facts are small: no files for them
        idle_worker_timeout=5,
    )
    try:
        yield from parallel(joblib.delayed(do_part_in_worker)(task, os.getpid()) for task in tasks)
    except BrokenProcessPool as error:
        raise DataError(
            "the system ended a process that read pictures, perhaps for want of memory",
            hint="try again: what was read before is kept",
        ) from error
