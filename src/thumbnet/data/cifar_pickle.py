"""The pickles of CIFAR's python release: what the official files contain is built, all else refused before it is run.

Nothing of NumPy is let near a file that may be damaged, and the work that a file can ask for is limited.
"""

from __future__ import annotations

import io
import pickle

IMAGE_BYTES = 3 * 32 * 32
# How many times a pickle's reader may ask for bytes: official files take 8 to 16 an image.
MAX_READS, MAX_READS_PER_IMAGE = 10_000, 60


def load_batch_pickle(content: bytes) -> object:
    """What the pickle holds, with `PickledArray` and `PickledDtype` in place of NumPy's own objects.

    Raises:
        Exception: of any kind, where it is damaged, or asks for what no official file contains.
    """
    return _BatchUnpickler(_CountedReads(content), encoding="bytes").load()


class _Pickled:
    """Stands in for an object of NumPy and keeps what the pickle gives it.

    NumPy's own are not let near a file that may be damaged: one wrong byte is enough for their `__setstate__` to crash
    the process.
    """

    def __init__(self, *args: object) -> None:
        self.args = args
        self.state: object = None

    def __setstate__(self, state: object) -> None:
        self.state = state


class PickledArray(_Pickled):
    """args (ndarray, (0,), b"b"); state (1, shape, dtype, is_fortran, pixels)."""


class PickledDtype(_Pickled):
    """args ("u1", 0, 1)."""


def _encode(text: str, encoding: str) -> bytes:
    """`text.encode` by the one codec that Python 3 writes byte strings with: some others take minutes."""
    if encoding not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError(f"it asks for the codec {encoding!r}, which no official file does")
    return text.encode(encoding)


# All that the official files name, and where each name leads. NumPy 2 moved the first; the codec is how Python 3 writes
# byte strings in the files' protocol.
PICKLE_NAMES: dict[tuple[str, str], object] = {
    ("numpy.core.multiarray", "_reconstruct"): PickledArray,
    ("numpy._core.multiarray", "_reconstruct"): PickledArray,
    ("numpy", "ndarray"): "ndarray",
    ("numpy", "dtype"): PickledDtype,
    ("_codecs", "encode"): _encode,
}


# Python's own unpickler rather than the one in C: that one, given damaged bytes, may reserve gigabytes for its memo.
class _BatchUnpickler(pickle._Unpickler):
    """Builds what the official files contain and refuses everything else before it is looked up, let alone run."""

    def find_class(self, module_name: str, global_name: str) -> object:
        found = PICKLE_NAMES.get((module_name, global_name))
        if found is None:
            raise pickle.UnpicklingError(f"it asks for {module_name}.{global_name}, which no official file contains")
        return found


class _CountedReads(io.BytesIO):
    """A file in memory that may be read from as often as a pickle of so many bytes needs, and no more."""

    def __init__(self, content: bytes) -> None:
        super().__init__(content)
        self._num_left = MAX_READS + MAX_READS_PER_IMAGE * (len(content) // IMAGE_BYTES)

    def read(self, size: int | None = -1) -> bytes:
        self._count()
        return super().read(size)

    def readline(self, size: int | None = -1) -> bytes:
        self._count()
        return super().readline(size)

    def _count(self) -> None:
        self._num_left -= 1
        if self._num_left < 0:
            raise pickle.UnpicklingError("it has many more parts than images")
