"""Files that are mapped into memory, and whether they are still as long as they were.

What lay beyond the new end of a file that was cut short cannot be read any more: the system ends the process (SIGBUS),
and nothing can say why. So a file's length is looked at before images are gone through. Without PyTorch.
"""

from __future__ import annotations

import os
import weakref
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from thumbnet.errors import DataError


@dataclass(frozen=True)
class _Map:
    """Addresses in memory, and the file that they are of: where it was, its device and number, its size then."""

    addresses: range
    path: Path
    file: tuple[int, int]
    num_bytes: int


_IN_USE: set[_Map] = set()


def mapped(path: Path, shape: tuple[int, int, int, int], offset: int) -> UInt8[np.ndarray, "n c h w"]:
    """Images in a file from `offset` on, read when they are used; whoever changes them changes a copy in memory."""
    with path.open("rb") as file:
        array = np.memmap(file, np.uint8, "c", offset, shape)
        status = os.fstat(file.fileno())
    addresses = range(array.ctypes.data, array.ctypes.data + array.nbytes)
    made = _Map(addresses, path, (status.st_dev, status.st_ino), status.st_size)
    _IN_USE.add(made)
    weakref.finalize(array, _IN_USE.discard, made)
    return np.asarray(array)


def check_mapped(address: int) -> None:
    """DataError where what is at this address is of a mapped file that got shorter meanwhile."""
    for each in [each for each in list(_IN_USE) if address in each.addresses]:
        try:
            status = each.path.stat()
        except OSError:
            continue  # a file that was removed or renamed is mapped all the same
        if (status.st_dev, status.st_ino) == each.file and status.st_size < each.num_bytes:
            raise unreadable(each.path, "it is shorter than it was")


def unreadable(path: Path, why: str | None) -> DataError:
    """The error of a file of images that was read before, and cannot be now."""
    return DataError(f"{path} cannot be read: {why}", hint="is its disk still there? If it is damaged, pack it again")
