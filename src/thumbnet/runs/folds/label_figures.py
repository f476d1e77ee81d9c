"""The figures of a folder of folds where an image may have several labels: of each fold, and of all images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch

from thumbnet.data.class_counts import Baseline
from thumbnet.errors import RunError
from thumbnet.evaluation.label_predictions import LabelPredictions, StoredLabels
from thumbnet.evaluation.multi_label import LabelEvaluation, label_evaluation_of
from thumbnet.models.label_decision import LabelDecision, halves
from thumbnet.runs.folds.figures import OutOfFold, out_of_fold
from thumbnet.runs.folds.pooled import PooledFolds, SeedFigure, means_of_rows, source_order
from thumbnet.runs.folds.table import FoldList, FoldTable
from thumbnet.runs.run import Run, RunDir


@dataclass(frozen=True)
class LabelsOutOfFold(PooledFolds):
    """As `PooledFolds`, of images with several labels; `stored` and `evaluations` are those of each seed. Each fold's
    model answers by thresholds of its own if they are picked. Where images belong together, the intervals of each
    label's metrics are by whole groups."""

    stored: tuple[StoredLabels, ...]
    evaluations: tuple[LabelEvaluation, ...]

    @property
    def num_images(self) -> int:
        return self.evaluations[0].num_images

    @property
    def of_seeds(self) -> tuple[LabelEvaluation, ...]:
        return self.evaluations

    @property
    def baseline(self) -> Baseline:
        return self.evaluations[0].baseline

    def with_intervals(self) -> Sequence[Mapping[str, SeedFigure]]:
        return [
            {
                name: SeedFigure(value, *evaluation.intervals[name])
                for name, value in evaluation.figures.items()
                if name in evaluation.intervals
            }
            for evaluation in self.evaluations
        ]


def any_out_of_fold(runs: Sequence[Run], folds: FoldList, table: FoldTable) -> OutOfFold | LabelsOutOfFold:
    """What finished runs predict, fold by fold and in each seed by seed.

    Raises:
        RunError: a run has predictions of other images than the table says.
    """
    if not runs[0].card.has_several_labels:
        return out_of_fold(runs, folds, table)
    num_seeds, class_names = len(folds.seeds), runs[0].card.class_names
    stored_of_runs = [_own_predictions(run, table, place // num_seeds) for place, run in enumerate(runs)]
    decision = _common_decision(runs)
    stored = tuple(_pooled(stored_of_runs[seed::num_seeds], table, decision) for seed in range(num_seeds))
    of_runs = [label_evaluation_of(each, class_names).figures for each in stored_of_runs]
    by_fold = tuple(means_of_rows(of_runs[first : first + num_seeds]) for first in range(0, len(runs), num_seeds))
    numbers = table.groups()
    groups = None if numbers is None else tuple(numbers)
    evaluations = tuple(replace(label_evaluation_of(each, class_names), groups=groups) for each in stored)
    return LabelsOutOfFold(folds, table, by_fold, stored, evaluations)


def _own_predictions(run: Run, table: FoldTable, fold: int) -> StoredLabels:
    stored, num_images = RunDir(run.path).read_any_predictions(), len(table.test_images(fold))
    if len(stored) != num_images or not isinstance(stored, StoredLabels):
        raise RunError(
            f"{run.path} has predictions of {len(stored):,} images, and folds.csv has {num_images:,} for it",
            hint="delete that run and go on with --resume",
        )
    return stored


def _common_decision(runs: Sequence[Run]) -> LabelDecision | None:
    """The thresholds of the models of all folds where none was picked; None where each picked its own."""
    found = [run.card.label_decision or halves(len(run.card.class_names)) for run in runs]
    first = found[0]
    is_common = all((each.rule, each.margins) == (first.rule, first.margins) for each in found)
    return LabelDecision(first.margins, rule=first.rule) if is_common and not first.is_picked else None


def _pooled(stored: Sequence[StoredLabels], table: FoldTable, decision: LabelDecision | None) -> StoredLabels:
    """The predictions of all images, one set a fold in the folds' order, in the order of the source; `decision` is what
    all were made by, if that is one."""
    order = source_order(table, len(stored))
    paths = [path for each in stored for path in each.paths or ()]
    predictions = LabelPredictions(
        torch.cat([each.predictions.logits for each in stored])[order],
        torch.cat([each.labels for each in stored])[order],
        decision,
        decided=torch.cat([each.predicted for each in stored])[order],
    )
    return StoredLabels(predictions, tuple(paths[place] for place in order.tolist()) if paths else None)
