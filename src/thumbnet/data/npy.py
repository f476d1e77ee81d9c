"""Arrays in the form of .npy files, read without trusting their headers. Without PyTorch."""

from __future__ import annotations

import math
from io import BufferedReader, BytesIO

import numpy as np
from jaxtyping import Shaped


def read_header(file: BufferedReader | BytesIO) -> tuple[tuple[int, ...], bool, np.dtype]:
    """The shape of the array in a file that is open at its beginning, whether it is in Fortran's order, and its type.

    ValueError where it is no header of version 1.0; OSError where the file cannot be read.
    """
    try:
        if np.lib.format.read_magic(file) != (1, 0):
            raise ValueError("its header is of another version")
        return np.lib.format.read_array_header_1_0(file)
    except OSError:
        raise
    except Exception as error:  # on damaged headers, NumPy raises whatever its parsing runs into
        raise ValueError(f"its header is damaged: {error}") from error


def array_from_bytes(content: bytes) -> Shaped[np.ndarray, "..."]:
    """The array in a file's content, which may be changed; ValueError where the content is not as long as the header
    says, or no array of numbers."""
    file = BytesIO(content)
    shape, is_fortran, dtype = read_header(file)
    length = len(content) - file.tell()
    if dtype.hasobject or min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize != length:
        raise ValueError(f"it has {length:,} bytes for {dtype} {list(shape)}")
    array = np.frombuffer(content, dtype, offset=file.tell())
    return array.reshape(shape, order="F" if is_fortran else "C").copy()
