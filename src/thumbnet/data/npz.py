"""A dataset in one NumPy archive (.npz), as MedMNIST and many others are published."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from thumbnet.data.dataset import Source, SourceSplits, Split
from thumbnet.data.folder_layout import normalised_name
from thumbnet.data.memory import memory_limit_bytes
from thumbnet.errors import DataError, DatasetNotFoundError

KEYS = "train_images, train_labels[, val_images, val_labels][, test_images, test_labels], or images, labels"
MAX_LABEL = 2**32
KNOWN_KEYS = {f"{split}{kind}" for split in ("train_", "val_", "test_", "") for kind in ("images", "labels")}


def read_npz(path: Path) -> SourceSplits:
    """The splits in an .npz file: those it defines, or one to be divided later.

    Images are uint8, [N,H,W] or with 1 or 3 channels, last or first; labels are integers from 0, [N] or [N,1].
    `class_names`, an array of texts, is optional. `flip_keeps_labels` is True, as for a folder: for letters, digits
    or signs, set flip = false.

    Args:
        path: the file, with the arrays `train_images` and `train_labels`, and perhaps those of `val_` and `test_`; or
            with `images` and `labels`.

    Raises:
        DatasetNotFoundError: no such file; DataError: it is damaged, or its arrays are not as described.
    """
    arrays = _read_arrays(path)
    names = _class_names(arrays, path)
    arrays.pop("class_names", None)
    unknown = sorted(set(arrays) - KNOWN_KEYS)
    first = "" if "images" in arrays else "train_"
    if f"{first}images" not in arrays or (unknown or (not first and len(arrays) > 2)):
        raise DataError(f"{path} has the arrays {', '.join(sorted(arrays)) or 'of nothing'}", hint=f"name them {KEYS}")
    splits = {
        prefix: _split(arrays, prefix, path)
        for prefix in (first, "val_", "test_")
        if f"{prefix}images" in arrays or f"{prefix}labels" in arrays
    }
    num_classes = 1 + max(int(split.labels.max()) for split in splits.values())
    _check_trained(splits[first].labels, num_classes if names is None else len(names), f"{path}: {first}labels")
    if names is None:
        names = tuple(str(label) for label in range(num_classes))
    if len(names) < max(num_classes, 2):
        raise DataError(
            f"{path} has {num_classes} classes and {len(names)} class names",
            hint="give at least two classes, and a name for each",
        )
    return SourceSplits(
        train=splits[first],
        val=splits.get("val_"),
        test=splits.get("test_"),
        class_names=names,
        flip_keeps_labels=True,
        source=Source(f"npz:{path.resolve()}", f"the arrays of {path}, {len(names)} classes"),
    )


def _read_arrays(path: Path) -> dict[str, np.ndarray]:
    try:
        with path.open("rb") as file:
            loaded = np.load(file, allow_pickle=False)
            if isinstance(loaded, np.ndarray):
                raise DataError(f"{path} is one array, not an .npz archive of several", hint=f"name them {KEYS}")
            _check_size(path, sum(member.file_size for member in loaded.zip.infolist()))
            return {name: _array(loaded[name], f"{path}: {name}") for name in loaded.files}
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
        raise DataError(f"{path} is damaged, or no .npz file: {error}", hint="write it with numpy.savez") from error


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
    texts = tuple(normalised_name(name) for name in names.tolist())
    for text in texts:
        if any("\ud800" <= letter <= "\udfff" for letter in text):  # half of a pair: in no text that can be written
            raise DataError(f"{path}: class_names has {text!r}, which is no Unicode text", hint="give another name")
        if texts.count(text) > 1:
            raise DataError(
                f"{path}: class_names has a name twice, or in two spellings: {text!r}", hint="give different texts"
            )
    return texts


def _split(arrays: Mapping[str, np.ndarray], prefix: str, path: Path) -> Split:
    missing = [f"{prefix}{kind}" for kind in ("images", "labels") if f"{prefix}{kind}" not in arrays]
    if missing:
        raise DataError(f"{path} has no {missing[0]}", hint="images and labels come in pairs")
    images = _images(arrays[f"{prefix}images"], f"{path}: {prefix}images")
    labels = _labels(arrays[f"{prefix}labels"], f"{path}: {prefix}labels")
    if len(images) != len(labels) or not len(labels):
        raise DataError(
            f"{path}: {prefix}images has {len(images)} images and {prefix}labels {len(labels)} labels",
            hint="every image needs one label, and a split at least one image",
        )
    return Split(images, labels)


def _images(array: np.ndarray, name: str) -> Tensor:
    """uint8 [N,C,H,W] with 1 or 3 channels."""
    grey = array[:, None] if array.ndim == 3 else array
    if array.dtype == np.uint8 and grey.ndim == 4:
        if grey.shape[1] in (1, 3):
            return torch.from_numpy(np.ascontiguousarray(grey))
        if grey.shape[3] in (1, 3):
            return torch.from_numpy(np.ascontiguousarray(grey.transpose(0, 3, 1, 2)))
    raise DataError(
        f"{name} is {array.dtype} {list(array.shape)}",
        hint="give uint8 (0 to 255), [N,H,W], [N,H,W,1 or 3] or [N,1 or 3,H,W]",
    )


def _check_trained(labels: Tensor, num_classes: int, name: str) -> None:
    """DataError where a class has no image to learn it from."""
    present = labels.unique().tolist()
    if len(present) < num_classes:
        missing = next((label for label, found in enumerate(present) if label != found), len(present))
        raise DataError(
            f"{name} has labels up to {present[-1]} for {num_classes:,} classes, but never {missing}",
            hint="number the classes from 0 without gaps, each with images to train on",
        )


def _labels(array: np.ndarray, name: str) -> Tensor:
    """int64 [N], from 0."""
    flat = array[:, 0] if array.ndim == 2 and array.shape[1] == 1 else array
    is_in_range = flat.size == 0 or flat.dtype.kind not in "iu" or (flat.min() >= 0 and flat.max() <= MAX_LABEL)
    if flat.ndim != 1 or flat.dtype.kind not in "iu" or not is_in_range:
        lowest = f", from {flat.min()} to {flat.max()}" if flat.size and flat.dtype.kind in "iu" else ""
        raise DataError(
            f"{name} is {array.dtype} {list(array.shape)}{lowest}", hint="give whole numbers from 0, one an image"
        )
    return torch.from_numpy(flat.astype(np.int64))
