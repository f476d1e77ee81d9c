"""A dataset in one NumPy archive (.npz), as MedMNIST and many others are published."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from io import BufferedIOBase
from pathlib import Path
from typing import TypeAlias
from zipfile import ZipFile

import numpy as np
from jaxtyping import UInt8

from thumbnet.data.array_splits import checked_names, splits_from_arrays
from thumbnet.data.dataset import Source
from thumbnet.data.memory import memory_limit_bytes
from thumbnet.data.source_splits import SourceSplits
from thumbnet.errors import DataError, DatasetNotFoundError

KEYS = "train_images, train_labels[, val_images, val_labels][, test_images, test_labels], or images, labels"
ReadRows: TypeAlias = Callable[[str, BufferedIOBase], UInt8[np.ndarray, "_ _ _ _"]]
KNOWN_KEYS = {f"{split}{kind}" for split in ("train_", "val_", "test_", "") for kind in ("images", "labels")}


def read_npz(path: Path, *, read_rows: ReadRows | None = None) -> SourceSplits:
    """The splits in an .npz file: those it defines, or one to be divided later.

    Images are uint8 or floats from 0 to 1, [N,H,W] or with 1 or 3 channels, last or first; labels are integers from 0,
    [N] or [N,1], or 0 and 1 as [N,K] where an image may have several.
    `class_names`, an array of texts, is optional. `flip_keeps_labels` is True, as for a folder: for letters, digits
    or signs, set flip = false.

    Args:
        path: the file, with the arrays `train_images` and `train_labels`, and perhaps those of `val_` and `test_`; or
            with `images` and `labels`.
        read_rows: what reads an array of images, given its name and its content as an .npy file, and gives them as
            uint8 [N,C,H,W]; None: into memory.

    Raises:
        DatasetNotFoundError: no such file; DataError: it is damaged, or its arrays are not as described.
    """
    arrays = _read_arrays(path, read_rows)
    names = _class_names(arrays, path)
    arrays.pop("class_names", None)
    unknown = sorted(set(arrays) - KNOWN_KEYS)
    first = "" if "images" in arrays else "train_"
    if f"{first}images" not in arrays or (unknown or (not first and len(arrays) > 2)):
        raise DataError(f"{path} has the arrays {', '.join(sorted(arrays)) or 'of nothing'}", hint=f"name them {KEYS}")
    source = Source(f"npz:{path.resolve()}", f"the arrays of {path}")
    layout = "auto" if read_rows is None else "NCHW"
    splits = splits_from_arrays(arrays, class_names=names, source=source, layout=layout, place=f"{path}: ")
    what = "labels, of which an image may have several" if splits.train.has_several_labels else "classes"
    description = f"the arrays of {path}, {len(splits.class_names)} {what}"
    return replace(splits, source=replace(splits.source, description=description))


def unpacked_bytes(path: Path) -> int:
    """Bytes that all arrays of a file take in memory; 0 where it is no such file, which reading it tells."""
    try:
        with ZipFile(path) as archive:
            return sum(member.file_size for member in archive.infolist())
    except Exception:  # noqa: BLE001  # on damaged files and odd paths, zipfile raises whatever its parsing runs into
        return 0


def _read_arrays(path: Path, read_rows: ReadRows | None) -> dict[str, np.ndarray]:
    def read(name: str) -> np.ndarray:
        if read_rows is not None and name in KNOWN_KEYS and name.endswith("images"):
            with loaded.zip.open(f"{name}.npy") as content:
                return read_rows(name, content)
        return _array(loaded[name], f"{path}: {name}")

    try:
        with path.open("rb") as file:
            loaded = np.load(file, allow_pickle=False)
            if isinstance(loaded, np.ndarray):
                raise DataError(f"{path} is one array, not an .npz archive of several", hint=f"name them {KEYS}")
            if read_rows is None:
                _check_size(path, sum(member.file_size for member in loaded.zip.infolist()))
            return {name: read(name) for name in loaded.files}
    except DataError:
        raise
    except FileNotFoundError as error:
        raise DatasetNotFoundError(f"there is no file {path}", hint="check the path after npz:") from error
    except Exception as error:  # on damaged files, NumPy and zipfile raise whatever their parsing runs into
        if "Object arrays" in str(error):
            raise DataError(
                f"{path} has an array of Python objects",
                hint="save texts as names.astype(str), and images of one size in one array of numbers",
            ) from error
        reason = "" if "allow_pickle" in str(error) else f": {error}"  # NumPy advises there to load what runs code
        raise DataError(f"{path} is damaged, or no .npz file{reason}", hint="write it with numpy.savez") from error


def _check_size(path: Path, num_bytes: int) -> None:
    limit = memory_limit_bytes()
    if num_bytes > limit:
        raise DataError(
            f"{path} unpacks to {num_bytes / 1e9:,.1f} GB, more than half of the memory ({2 * limit / 1e9:,.1f} GB)",
            hint="save fewer or smaller images",
        )


def _array(member: object, name: str) -> np.ndarray:
    """What `np.load` gives: bytes for a member that is no array."""
    if not isinstance(member, np.ndarray):
        raise DataError(f"{name} is no array", hint="write the file with numpy.savez")
    return member


def _class_names(arrays: Mapping[str, np.ndarray], path: Path) -> tuple[str, ...] | None:
    names = arrays.get("class_names")
    if names is None:
        return None
    if names.ndim != 1 or names.dtype.kind != "U":
        raise DataError(
            f"{path}: class_names is {names.dtype} {list(names.shape)}", hint="give a one-dimensional array of texts"
        )
    return checked_names(names.tolist(), place=f"{path}: ")
