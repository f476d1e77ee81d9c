"""Metrics of each class over several runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from thumbnet.evaluation.aggregate import Aggregate, aggregate
from thumbnet.evaluation.classes import ClassMetrics


@dataclass(frozen=True)
class ClassAggregates:
    """A class over several runs on the same images; recall and F1 are None if the split has no image of it."""

    class_name: str
    num_images: int
    precision: Aggregate
    recall: Aggregate | None
    f1: Aggregate | None


def aggregate_classes(runs: Sequence[Sequence[ClassMetrics]]) -> tuple[ClassAggregates, ...]:
    """The metrics of every class over the runs, each of which gives those of all classes in the same order."""
    return tuple(
        ClassAggregates(
            row[0].class_name,
            row[0].num_images,
            aggregate([each.precision for each in row]).within(0, 1),
            _aggregate([each.recall for each in row]),
            _aggregate([each.f1 for each in row]),
        )
        for row in zip(*runs, strict=True)
    )


def _aggregate(values: Sequence[float | None]) -> Aggregate | None:
    known = [value for value in values if value is not None]
    return aggregate(known).within(0, 1) if len(known) == len(values) else None
