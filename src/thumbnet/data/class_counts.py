"""How many images each class has in each split, and what follows for an accuracy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from thumbnet.data.dataset import SPLIT_NAMES, Dataset
from thumbnet.specs.data import LABEL_SEPARATOR, NO_LABEL
from thumbnet.terminal.text import escaped

ClassCounts: TypeAlias = Mapping[str, Mapping[str, int]]  # by class, then by split


def class_sizes(labels: Int64[Tensor, " n"] | UInt8[Tensor, "n k"], num_classes: int) -> list[int]:
    """How many images show each class, one or several of them each."""
    sizes: list[int] = (
        labels.long().sum(dim=0).tolist() if labels.ndim == 2 else labels.bincount(minlength=num_classes).tolist()
    )
    return sizes


def label_text(
    label: Int64[Tensor, ""] | UInt8[Tensor, " k"], class_names: Sequence[str], *, separator: str = LABEL_SEPARATOR
) -> str:
    """The name of an image's class, or the names of its labels as labels.csv has them: "cat;dog", and "" for none."""
    if label.ndim == 0:
        return class_names[int(label)]
    return separator.join(name for name, mark in zip(class_names, label.tolist(), strict=True) if mark)


def label_texts(labels: Int64[Tensor, " n"] | UInt8[Tensor, "n k"], class_names: Sequence[str]) -> list[str]:
    """`label_text` of every image."""
    if labels.ndim == 1:
        return [class_names[label] for label in labels.tolist()]
    return [label_text(label, class_names) for label in labels]


def count_classes(labels_of: Mapping[str, Sequence[int]], class_names: Sequence[str]) -> dict[str, dict[str, int]]:
    """The number of images by class and split, of the labels of each split."""
    counts = {name: dict.fromkeys(labels_of, 0) for name in class_names}
    for split, labels in labels_of.items():
        for label in labels:
            counts[class_names[label]][split] += 1
    return counts


def class_table(counts: ClassCounts, *, num_images: Mapping[str, int] | None = None) -> str:
    """A table for people: a line for each class, and one for all, with a column for each split; `num_images` are those
    of each split where it is not the sum, since an image may have several labels."""
    splits = list(next(iter(counts.values())))
    totals = num_images or {split: sum(of_class[split] for of_class in counts.values()) for split in splits}
    rows = [("class", splits)]
    rows += [(escaped(name), [f"{of_class[split]:,}" for split in splits]) for name, of_class in counts.items()]
    rows.append(("all", [f"{totals[split]:,}" for split in splits]))
    name_width = max(len(name) for name, _ in rows)
    widths = [max(len(row[place]) for _, row in rows) for place in range(len(splits))]
    return "\n".join(
        "  ".join([f"{name:{name_width}}", *(f"{cell:>{width}}" for cell, width in zip(row, widths, strict=True))])
        for name, row in rows
    )


@dataclass(frozen=True)
class Baseline:
    """What always answering the commonest class of a split would score on it."""

    class_name: str
    accuracy: float

    def __str__(self) -> str:
        return f"always {self.class_name!r}: {self.accuracy:.1%}"


def dataset_counts(dataset: Dataset) -> dict[str, dict[str, int]]:
    """The number of images by class and split, of the splits that there are."""
    sizes = {
        name: class_sizes(dataset.split(name).labels, dataset.num_classes)
        for name in SPLIT_NAMES
        if name != "val" or dataset.val is not None
    }
    return {
        class_name: {split: of_split[index] for split, of_split in sizes.items()}
        for index, class_name in enumerate(dataset.class_names)
    }


def baseline(labels: Int64[Tensor, " n"] | UInt8[Tensor, "n k"], class_names: Sequence[str]) -> Baseline:
    """Of a split's labels. Of several labels an image, it is the commonest set of labels that is always answered."""
    if labels.ndim == 2:
        sets, numbers = np.unique(labels.numpy(), axis=0, return_counts=True)
        name = label_text(torch.from_numpy(sets[numbers.argmax()]), class_names)
        return Baseline(name or NO_LABEL, float(numbers.max()) / len(labels))
    counts = labels.bincount(minlength=len(class_names))
    return Baseline(class_names[int(counts.argmax())], float(counts.max()) / len(labels))
