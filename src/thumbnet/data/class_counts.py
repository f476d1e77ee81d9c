"""How many images each class has in each split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

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
