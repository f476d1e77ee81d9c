"""Rows of .npy files, read from the disk by their numbers: in one pass over the file, whatever their order.

They are read, not mapped: a disk that fails, or a file that gets shorter, is an error, where a map would end the
process; and what was read is no part of the process's memory. Without PyTorch.
"""

from __future__ import annotations

import os
import sys
import threading
import weakref
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from jaxtyping import Int64, UInt8

from thumbnet.data.packs.maps import unreadable
from thumbnet.data.packs.row_file import RowFile

MAX_GAP_BYTES = 2**15  # between two rows that are wanted: less is read, too, rather than skipped
MAX_RUN_BYTES = 2**22  # that are read at a time, where some of them are not wanted


class RowReader:
    """The rows of several files of one shape, numbered one file after the other.

    The files stay open: an entry of the cache that is replaced meanwhile can still be read.
    """

    def __init__(self, files: Sequence[RowFile], opened: Sequence[_Opened] | None = None) -> None:
        self.files = tuple(files)
        self.row_shape = files[0].shape[1:]
        self._starts = np.cumsum([0, *(len(file) for file in files)])
        self._opened = tuple(_Opened(file.path) for file in files) if opened is None else tuple(opened)

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __reduce__(self) -> tuple[type[RowReader], tuple[Sequence[RowFile]]]:
        return RowReader, (self.files,)

    @property
    def row_bytes(self) -> int:
        return self.files[0].row_bytes

    def followed_by(self, other: RowReader) -> RowReader:
        """The rows of both, one after the other, from the files that both have open."""
        return RowReader((*self.files, *other.files), (*self._opened, *other._opened))

    def read(
        self, rows: Int64[np.ndarray, " n"], out: UInt8[np.ndarray, "n c h w"] | None = None
    ) -> UInt8[np.ndarray, "n c h w"]:
        """The rows of these numbers, in this order, written to `out` if it is given; each may be wanted several times.

        Raises:
            DataError: a file cannot be read, or is shorter than it was.
        """
        found = np.empty((len(rows), *self.row_shape), np.uint8) if out is None else out
        if not len(rows):
            return found
        is_ascending = bool((np.diff(rows) > 0).all())
        places = None if is_ascending else np.argsort(rows, kind="stable")
        ascending = rows if places is None else rows[places]
        for first, last in self._runs(ascending):
            wanted = ascending[first:last]
            number = int(wanted[-1] - wanted[0]) + 1
            if places is None and number == len(wanted):
                self._read_run(int(wanted[0]), found[first:last])
            else:
                run = np.empty((number, *self.row_shape), np.uint8)
                self._read_run(int(wanted[0]), run)
                found[slice(first, last) if places is None else places[first:last]] = run[wanted - wanted[0]]
        return found

    def _runs(self, ascending: Int64[np.ndarray, " n"]) -> list[tuple[int, int]]:
        """Where rows begin, and end, that are read at a time."""
        steps = np.diff(ascending)
        ends = np.searchsorted(self._starts, ascending, side="right")
        part = ascending // max(1, MAX_RUN_BYTES // self.row_bytes)
        is_cut = ((steps - 1) * self.row_bytes > MAX_GAP_BYTES) | (np.diff(ends) > 0) | (np.diff(part) > 0)
        cuts = [0, *(np.flatnonzero(is_cut) + 1).tolist(), len(ascending)]
        return list(pairwise(cuts))

    def _read_run(self, first: int, out: UInt8[np.ndarray, "n c h w"]) -> None:
        """Rows that lie one after the other in one file."""
        number = int(np.searchsorted(self._starts, first, side="right")) - 1
        offset = self.files[number].offset + (first - int(self._starts[number])) * self.row_bytes
        self._opened[number].read(offset, out.reshape(-1).data)


class _Opened:
    """A file that stays open until nobody uses it any more."""

    def __init__(self, path: Path) -> None:
        self._path, self._lock = path, threading.Lock()
        try:
            self._descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0))
        except OSError as error:
            raise unreadable(path, error.strerror) from error
        weakref.finalize(self, os.close, self._descriptor)

    def read(self, offset: int, out: memoryview) -> None:
        """Fill `out` from there on."""
        while out:
            try:
                number = self._read_some(offset, out)
            except OSError as error:
                raise unreadable(self._path, error.strerror) from error
            if not number:
                raise unreadable(self._path, "it is shorter than it was")
            offset, out = offset + number, out[number:]

    def _read_some(self, offset: int, out: memoryview) -> int:
        if sys.platform != "win32":
            return os.preadv(self._descriptor, [out], offset)
        with self._lock:
            os.lseek(self._descriptor, offset, os.SEEK_SET)
            content = os.read(self._descriptor, len(out))
        out[: len(content)] = content
        return len(content)
