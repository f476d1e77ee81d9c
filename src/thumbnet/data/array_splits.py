"""The splits that arrays in memory make, from a file or from a caller: checked, with a name for each class."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from thumbnet.data.arrays import images_from_array, labels_from_array
from thumbnet.data.dataset import Source, Split
from thumbnet.data.folder_layout import normalised_name
from thumbnet.data.source_splits import SourceSplits
from thumbnet.errors import DataError
from thumbnet.specs.data import LABEL_SEPARATOR
from thumbnet.terminal.text import counted


def splits_from_arrays(
    arrays: Mapping[str, np.ndarray],
    *,
    class_names: tuple[str, ...] | None,
    source: Source,
    flip_keeps_labels: bool = True,
    layout: str = "auto",
    place: str = "",
) -> SourceSplits:
    """Splits of `images` and `labels` (or `train_images`, `train_labels`), with those of `val_` and `test_` if given.

    Args:
        class_names: as `checked_names` gives them; None: "0", "1", ...
        layout: as in `images_from_array`.
        place: what errors name before an array's name.

    Raises:
        DataError: arrays are missing, not as `arrays.py` takes them, or leave a class without training images.
    """
    first = "" if "images" in arrays else "train_"
    splits = {
        prefix: _split(arrays, prefix, layout=layout, place=place)
        for prefix in (first, "val_", "test_")
        if f"{prefix}images" in arrays or f"{prefix}labels" in arrays
    }
    if len({split.labels.shape[1:] for split in splits.values()}) > 1:
        raise DataError(
            f"{place}the labels of the splits differ in form", hint="give one label an image in all, or [N,K] in all"
        )
    if splits[first].has_several_labels:
        num_classes = splits[first].labels.shape[1]
    else:
        num_classes = 1 + max(int(split.labels.max()) for split in splits.values())
    expected = num_classes if class_names is None else len(class_names)
    _check_trained(splits[first].labels, expected, f"{place}{first}labels")
    names = tuple(str(label) for label in range(num_classes)) if class_names is None else class_names
    if len(names) < max(num_classes, 2):
        raise DataError(
            f"{place}there {'is' if num_classes == 1 else 'are'} {counted(num_classes, 'class', plural='classes')} and "
            f"{counted(len(names), 'class name')}",
            hint="give at least two classes, and a name for each",
        )
    parted = [name for name in names if LABEL_SEPARATOR in name] if splits[first].has_several_labels else []
    if parted:
        raise DataError(
            f"{place}the label {parted[0]!r} has a {LABEL_SEPARATOR!r}, which parts an image's labels in tables",
            hint="call it otherwise in class_names",
        )
    if splits[first].has_several_labels and all(bool((it.labels.sum(dim=1) == 1).all()) for it in splits.values()):
        remark = "Every image has exactly one label: give labels [N], whole numbers, for one answer an image."
        source = replace(source, remarks=(*source.remarks, remark))
    return SourceSplits(
        train=splits[first],
        val=splits.get("val_"),
        test=splits.get("test_"),
        class_names=names,
        flip_keeps_labels=flip_keeps_labels,
        source=source,
    )


def checked_names(names: Sequence[str], *, place: str = "") -> tuple[str, ...]:
    """Class names in one spelling of Unicode; DataError where one is given twice, or cannot be written."""
    texts = tuple(normalised_name(name) for name in names)
    for text in texts:
        if any("\ud800" <= letter <= "\udfff" for letter in text):  # half of a pair: in no text that can be written
            raise DataError(f"{place}class_names has {text!r}, which is no Unicode text", hint="give another name")
    twice = next((text for text, number in Counter(texts).items() if number > 1), None)
    if twice is not None:
        raise DataError(
            f"{place}class_names has a name twice, or in two spellings: {twice!r}", hint="give different texts"
        )
    return texts


def _split(arrays: Mapping[str, np.ndarray], prefix: str, *, layout: str, place: str) -> Split:
    for kind in ("images", "labels"):
        if f"{prefix}{kind}" not in arrays:
            raise DataError(f"{place}there is no {prefix}{kind}", hint="images and labels come in pairs")
    images = images_from_array(arrays[f"{prefix}images"], name=f"{place}{prefix}images", layout=layout)
    labels = labels_from_array(arrays[f"{prefix}labels"], name=f"{place}{prefix}labels")
    if len(images) != len(labels):
        raise DataError(
            f"{place}{prefix}images has {len(images)} images and {prefix}labels {len(labels)} labels",
            hint="every image needs one label, and a split at least one image",
        )
    return Split(torch.from_numpy(images), torch.from_numpy(labels))


def _check_trained(labels: Tensor, num_classes: int, name: str) -> None:
    """DataError where a class has no image to learn it from."""
    if labels.ndim == 2 and labels.shape[1] != num_classes:
        raise DataError(
            f"{name} has {labels.shape[1]} columns for {num_classes} class names", hint="give a name for each column"
        )
    present = labels.any(dim=0).nonzero().flatten().tolist() if labels.ndim == 2 else labels.unique().tolist()
    if not present:
        raise DataError(f"{name} has no label at all", hint="give images of every class to train on")
    if len(present) < num_classes:
        missing = next((label for label, found in enumerate(present) if label != found), len(present))
        raise DataError(
            f"{name} has labels up to {present[-1]} for {num_classes:,} classes, but never {missing}",
            hint="number the classes from 0 without gaps, each with images to train on",
        )
