"""Images in an .npy file whose rows are written in any order, by several processes, and read as a map.

Rows are written, not assigned to a map: on a full disk a write is an error, where a map would end the process. Without
PyTorch.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from thumbnet.data.npy import read_header
from thumbnet.data.packs.maps import mapped
from thumbnet.errors import DataError

MAX_PART_ROWS = 512  # that have a checksum of their own
MAX_PART_BYTES = 2**24


@dataclass(frozen=True)
class RowFile:
    """An .npy file of uint8 [N,C,H,W]; `offset` is where the first image begins."""

    path: Path
    shape: tuple[int, int, int, int]
    offset: int

    @classmethod
    def create(cls, path: Path, shape: tuple[int, int, int, int]) -> RowFile:
        """A new file with room on the disk for all rows; OSError where there is none."""
        with path.open("wb") as file:
            header = {"descr": "|u1", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, header)
            made = cls(path, shape, file.tell())
            num_bytes = made.offset + len(made) * made.row_bytes
            if hasattr(os, "posix_fallocate"):  # not on macOS
                os.posix_fallocate(file.fileno(), 0, num_bytes)
            else:
                file.truncate(num_bytes)
        return made

    @classmethod
    def open(cls, path: Path, shape: tuple[int, int, int, int]) -> RowFile:
        """A file that was created before; DataError where it has another shape or another length."""
        try:
            with path.open("rb") as file:
                found, is_fortran, dtype = read_header(file)
                opened = cls(path, shape, file.tell())
                length = os.fstat(file.fileno()).st_size
        except (OSError, ValueError) as error:
            raise DataError(f"{path} cannot be read: {error}", hint="pack the data again") from error
        if found != shape or is_fortran or dtype != np.uint8:
            raise DataError(
                f"{path} has {dtype} {list(found)}, expected uint8 {list(shape)}", hint="pack the data again"
            )
        expected = opened.offset + len(opened) * opened.row_bytes
        if length != expected:
            raise DataError(f"{path} has {length:,} bytes, expected {expected:,}", hint="pack the data again")
        return opened

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def row_bytes(self) -> int:
        return self.shape[1] * self.shape[2] * self.shape[3]

    def parts(self) -> Iterator[tuple[int, int]]:
        """The first row, and that after the last, of each part that has a checksum."""
        step = max(1, min(MAX_PART_ROWS, MAX_PART_BYTES // self.row_bytes))
        for first in range(0, len(self), step):
            yield first, min(first + step, len(self))

    def write(self, first: int, rows: UInt8[np.ndarray, "n c h w"]) -> str:
        """Write rows from the row `first` on; their SHA-256."""
        content = np.ascontiguousarray(rows).reshape(-1).data
        with self.path.open("r+b") as file:
            file.seek(self.offset + first * self.row_bytes)
            file.write(content)
        return hashlib.sha256(content).hexdigest()

    def digest(self, first: int, last: int) -> str:
        """SHA-256 of the rows from `first` to before `last`; OSError where they cannot be read."""
        digest, rest = hashlib.sha256(), (last - first) * self.row_bytes
        with self.path.open("rb") as file:
            file.seek(self.offset + first * self.row_bytes)
            while rest and (chunk := file.read(min(rest, 2**20))):
                digest.update(chunk)
                rest -= len(chunk)
        return digest.hexdigest()

    def mapped(self) -> UInt8[np.ndarray, "n c h w"]:
        """The rows, read from the file when they are used; whoever changes them changes a copy in memory."""
        return mapped(self.path, self.shape, self.offset)

    def flush(self) -> None:
        """Have the disk keep what was written."""
        with self.path.open("r+b") as file:
            os.fsync(file.fileno())
