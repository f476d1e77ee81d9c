"""How many images each class has in each split, and what follows for an accuracy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from jaxtyping import Int64
from torch import Tensor

from thumbnet.data.dataset import SPLIT_NAMES, Dataset
from thumbnet.terminal.text import escaped

ClassCounts: TypeAlias = Mapping[str, Mapping[str, int]]  # by class, then by split


def count_classes(labels_of: Mapping[str, Sequence[int]], class_names: Sequence[str]) -> dict[str, dict[str, int]]:
    """The number of images by class and split, of the labels of each split."""
    counts = {name: dict.fromkeys(labels_of, 0) for name in class_names}
    for split, labels in labels_of.items():
        for label in labels:
            counts[class_names[label]][split] += 1
    return counts


def class_table(counts: ClassCounts) -> str:
    """A table for people: a line for each class, and one for all, with a column for each split."""
    splits = list(next(iter(counts.values())))
    rows = [("class", splits)]
    rows += [(escaped(name), [f"{of_class[split]:,}" for split in splits]) for name, of_class in counts.items()]
    rows.append(("all", [f"{sum(of_class[split] for of_class in counts.values()):,}" for split in splits]))
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
    labels_of = {
        name: dataset.split(name).labels.tolist() for name in SPLIT_NAMES if name != "val" or dataset.val is not None
    }
    return count_classes(labels_of, dataset.class_names)


def baseline(labels: Int64[Tensor, " n"], class_names: Sequence[str]) -> Baseline:
    """Of a split's labels."""
    counts = labels.bincount(minlength=len(class_names))
    return Baseline(class_names[int(counts.argmax())], float(counts.max()) / len(labels))
