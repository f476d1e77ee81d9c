"""The figures of all images of a folder of folds, and of each fold, whatever kind of answers they are of."""

from __future__ import annotations

import statistics
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from jaxtyping import Int64
from torch import Tensor

from thumbnet.data.class_counts import Baseline
from thumbnet.evaluation.analysis import Analysis
from thumbnet.evaluation.multi_label import LabelEvaluation
from thumbnet.runs.folds.table import FoldList, FoldTable


class SeedFigure(NamedTuple):
    """A figure of all images by the models of one seed, with the bounds of its interval, or the reason why a metric of
    the user's own has none."""

    value: float
    low: float | None
    high: float | None
    reason: str = ""


@dataclass(frozen=True)
class PooledFigure:
    """A figure of all images: its mean over the seeds; the interval that other images, or groups of them, would give it
    (the mean of the seeds' bounds); its deviation from seed to seed, None for a single one. A metric of the user's own
    may have no interval, for this `reason`."""

    value: float
    low: float | None
    high: float | None
    std_over_seeds: float | None
    reason: str = ""


@dataclass(frozen=True)
class PooledFolds(ABC):
    """All images of a folder of folds, each predicted by the model that was not trained on it.

    `by_fold` holds the figures of each fold, means over its seeds.
    """

    folds: FoldList
    table: FoldTable
    by_fold: tuple[Mapping[str, float], ...]

    @property
    @abstractmethod
    def num_images(self) -> int: ...

    @property
    @abstractmethod
    def baseline(self) -> Baseline:
        """What answering all images alike would score."""

    @property
    @abstractmethod
    def of_seeds(self) -> Sequence[Analysis] | Sequence[LabelEvaluation]:
        """The metrics of each seed."""

    @abstractmethod
    def with_intervals(self) -> Sequence[Mapping[str, SeedFigure]]:
        """Of each seed each figure of all images with the bounds of its interval, which is by whole groups where these
        are known."""

    @cached_property
    def figures(self) -> dict[str, PooledFigure]:
        """Each figure of all images, by name."""
        rows = self.with_intervals()
        figures: dict[str, PooledFigure] = {}
        for name in rows[0]:
            if all(name in row for row in rows):
                of_seeds = [row[name] for row in rows]
                values = [each.value for each in of_seeds]
                figures[name] = PooledFigure(
                    statistics.fmean(values),
                    _mean_if_all([each.low for each in of_seeds]),
                    _mean_if_all([each.high for each in of_seeds]),
                    statistics.stdev(values) if len(values) > 1 else None,
                    next((each.reason for each in of_seeds if each.reason), ""),
                )
        return figures

    def over_folds(self) -> dict[str, tuple[float | None, float | None]]:
        """Of each figure the mean over the folds that have it and the deviation from fold to fold, None where too few
        have it: a fold whose images are all of one class has no areas."""
        found: dict[str, tuple[float | None, float | None]] = {}
        for name in self.figures:
            values = [row[name] for row in self.by_fold if name in row]
            mean = statistics.fmean(values) if values else None
            found[name] = mean, statistics.stdev(values) if len(values) > 1 else None
        return found


def _mean_if_all(values: Sequence[float | None]) -> float | None:
    """The mean; None where a value is not known."""
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if len(known) == len(values) else None


def source_order(table: FoldTable, num_folds: int) -> Int64[Tensor, " n"]:
    """What brings the test images of the folds, fold by fold, into the order of the source."""
    return torch.tensor([index for fold in range(num_folds) for index in table.test_images(fold)]).argsort()


def means_of_rows(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Of each figure that all rows have."""
    return {name: statistics.fmean(row[name] for row in rows) for name in rows[0] if all(name in row for row in rows)}
