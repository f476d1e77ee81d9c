"""Datasets of arrays in memory, and datasets written to a file that is read again.

dataset = thumbnet.dataset_from_arrays(images, labels, class_names=["cat", "dog"], test=(test_images, test_labels))
run = thumbnet.train(config, dataset=dataset)
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from thumbnet.atomic import write_atomically
from thumbnet.data.array_splits import checked_names, splits_from_arrays
from thumbnet.data.arrays import as_array
from thumbnet.data.dataset import SPLIT_NAMES, Dataset, Source
from thumbnet.data.folder_layout import normalised_name
from thumbnet.data.sources import dataset_of
from thumbnet.errors import DataError
from thumbnet.specs.data import ARRAYS, ValFraction, expanded
from thumbnet.terminal.text import counted


def dataset_from_arrays(
    images: object,
    labels: object,
    *,
    class_names: Sequence[str] | None = None,
    val: tuple[object, ...] | list[object] | None = None,
    test: tuple[object, ...] | list[object] | None = None,
    val_fraction: ValFraction = "auto",
    split_seed: int = 0,
    flip_keeps_labels: bool = True,
    layout: str = "auto",
) -> Dataset:
    """A dataset of images and labels in memory: NumPy arrays, tensors, or lists of these.

    Args:
        images: uint8 (0 to 255) or floats from 0 to 1, [N,H,W], [N,H,W,1 or 3] or [N,1 or 3,H,W], for training. What is
            uint8 with the channels first already is not copied: leave it as it is while the dataset is used.
        labels: whole numbers from 0, or the names of the classes; or 0 and 1 (truth values) as [N,K], K above 1: of
            each image and class, whether the image has this label, of which it may have several, or none.
        class_names: in the order of the numbers; None: "0", "1", ..., or the names among `labels`, sorted.
        val, test: images and labels likewise. None: held out of `images`, class by class, a tenth for test and
            `val_fraction` for validation ("auto": as in `load_dataset`).
        split_seed: of the images held out.
        flip_keeps_labels: False for letters, digits, signs and whatever else is no longer itself when mirrored.
        layout: where the channels are, if the sides leave that open.

    Example:
        >>> import numpy as np, thumbnet
        >>> images = np.random.default_rng(0).random((200, 28, 28))
        >>> dataset = thumbnet.dataset_from_arrays(images, np.arange(200) % 2, class_names=["cat", "dog"])
        >>> len(dataset.train), len(dataset.val), len(dataset.test)
        (130, 50, 20)

    Raises:
        DataError: arrays that are none of these; a class without images to train on; labels without an image.
        ConfigError: `val_fraction`, `split_seed` or `layout` is out of range.
    """
    given: dict[str, tuple[object, ...] | list[object] | None] = {"": (images, labels), "val_": val, "test_": test}
    arrays: dict[str, np.ndarray] = {}
    for prefix, pair in given.items():
        if pair is not None:
            if not isinstance(pair, tuple | list) or len(pair) != 2:
                what = f"has {counted(len(pair), 'part')}" if isinstance(pair, tuple | list) else "is no pair"
                raise DataError(f"{prefix[:-1]} {what}", hint=f"give {prefix[:-1]}=(images, labels)")
            for kind, values in zip(("images", "labels"), pair, strict=True):
                arrays[prefix + kind] = as_array(values, name=prefix + kind)
    names = None if class_names is None else checked_names(list(map(str, class_names)))
    names = _numbered(arrays, names)
    splits = splits_from_arrays(
        arrays,
        class_names=names,
        source=Source(ARRAYS, "arrays in memory"),
        flip_keeps_labels=flip_keeps_labels,
        layout=layout,
    )
    return dataset_of(splits, val_fraction=val_fraction, split_seed=split_seed)


def save_dataset(dataset: Dataset, path: str | Path) -> Path:
    """Write all splits to an .npz file, which `--data npz:FILE` reads as the same data: a run that was trained on the
    dataset knows it by its checksum.

    Raises:
        DataError: the file cannot be written.
    """
    arrays = {"class_names": np.array(dataset.class_names)}
    for name in SPLIT_NAMES:
        split = getattr(dataset, name)
        if split is not None:
            arrays[f"{name}_images"], arrays[f"{name}_labels"] = split.images.numpy(), split.labels.numpy()
    content = io.BytesIO()
    np.savez(content, **arrays)  # type: ignore[arg-type]  # its stub takes allow_pickle for one of them
    target = expanded(path)
    try:
        write_atomically(target, content.getvalue())
    except OSError as error:
        raise DataError(f"{target} cannot be written: {error}", hint="name a file that you may write") from error
    return target


def _numbered(arrays: dict[str, np.ndarray], names: tuple[str, ...] | None) -> tuple[str, ...] | None:
    """Put numbers in the place of labels that are names; the class names, None where there are none.

    Raises:
        DataError: a name that is no class, or rows of several names.
    """
    for key in [key for key in arrays if key.endswith("labels")]:
        array = arrays[key]
        if array.dtype == object and all(isinstance(label, str) for label in array.flat):
            array = array.astype(str)
        if array.dtype.kind != "U":
            continue
        if array.ndim == 2 and array.shape[1] > 1:
            raise DataError(
                f"{key} is texts {list(array.shape)}", hint="of several labels an image, give 0 and 1 as [N,K]"
            )
        texts = [normalised_name(text) for text in array.ravel().tolist()]
        names = checked_names(sorted(set(texts))) if names is None else names
        unknown = sorted(set(texts) - set(names))
        if unknown:
            raise DataError(
                f"{key} has {unknown[0]!r}, which is none of the classes {', '.join(names[:10])}",
                hint="train on images of every class, or give class_names",
            )
        number_of = {name: number for number, name in enumerate(names)}
        arrays[key] = np.array([number_of[text] for text in texts], np.int64).reshape(array.shape)
    return names
