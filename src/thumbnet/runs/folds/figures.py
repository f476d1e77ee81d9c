"""The figures of a folder of folds where each image has one label: of each fold, and of all images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from thumbnet.data.class_counts import Baseline
from thumbnet.errors import RunError
from thumbnet.evaluation.analysis import Analysis, analyse
from thumbnet.evaluation.metrics import Evaluation, metrics_over_classes, summarise_predictions
from thumbnet.evaluation.predictions import Predictions, StoredPredictions
from thumbnet.models.decision import Decision
from thumbnet.runs.folds.pooled import PooledFolds, SeedFigure, means_of_rows, source_order
from thumbnet.runs.folds.table import FoldList, FoldTable
from thumbnet.runs.run import Run, RunDir

FIGURES = ("accuracy", "balanced_accuracy", "macro_f1", "mcc", "auc", "average_precision")  # with an interval
SMALLEST = 1e-300  # of a probability, whose logarithm is taken


@dataclass(frozen=True)
class OutOfFold(PooledFolds):
    """As `PooledFolds`, of images with one label each; `stored` and `analyses` are those of each seed."""

    stored: tuple[StoredPredictions, ...]
    analyses: tuple[Analysis, ...]

    @property
    def num_images(self) -> int:
        return self.analyses[0].evaluation.num_images

    @property
    def of_seeds(self) -> tuple[Analysis, ...]:
        return self.analyses

    @property
    def baseline(self) -> Baseline:
        return self.analyses[0].baseline

    def with_intervals(self) -> Sequence[Mapping[str, SeedFigure]]:
        return [_with_intervals(analysis) for analysis in self.analyses]


def out_of_fold(runs: Sequence[Run], folds: FoldList, table: FoldTable) -> OutOfFold:
    """What finished runs predict, fold by fold and in each seed by seed.

    Raises:
        RunError: a run has predictions of other images than the table says.
    """
    num_seeds, class_names = len(folds.seeds), runs[0].card.class_names
    stored_of_runs = [_own_predictions(run, table, place // num_seeds) for place, run in enumerate(runs)]
    stored = tuple(pool_predictions(stored_of_runs[seed::num_seeds], table) for seed in range(num_seeds))
    decision, of_all = runs[0].card.decision, common_decision(runs)
    positive = None if decision is None else decision.positive
    evaluations = [evaluation_of(each, positive=positive, decision=of_all) for each in stored]
    positive = evaluations[0].positive  # also where that class is not the rarer one of a fold
    of_runs = [_figures_of(evaluation_of(each, positive=positive), class_names) for each in stored_of_runs]
    by_fold = tuple(means_of_rows(of_runs[first : first + num_seeds]) for first in range(0, len(runs), num_seeds))
    analyses = tuple(analyse(each, class_names, groups=table.groups()) for each in evaluations)
    return OutOfFold(folds, table, by_fold, stored, analyses)


def pool_predictions(stored: Sequence[StoredPredictions], table: FoldTable) -> StoredPredictions:
    """The predictions of all images, one set a fold in the folds' order, in the order of the source."""
    order = source_order(table, len(stored))
    paths = [path for each in stored for path in each.paths or ()]
    return StoredPredictions(
        torch.cat([each.labels for each in stored])[order],
        torch.cat([each.predicted for each in stored])[order],
        torch.cat([each.confidence for each in stored])[order],
        tuple(paths[place] for place in order.tolist()) if paths else None,
        torch.cat([each.probabilities for each in stored if each.probabilities is not None])[order],
    )


def common_decision(runs: Sequence[Run]) -> Decision | None:
    """The threshold that was given for the models of all folds; None where each picked its own, or none has any."""
    found = [run.card.decision for run in runs]
    first = found[0]
    if first is None or first.rule != "given":
        return None
    answered = {None if each is None else (each.positive, each.margin) for each in found}
    return Decision(first.positive, first.threshold, first.margin, first.rule) if len(answered) == 1 else None


def evaluation_of(
    stored: StoredPredictions, *, positive: int | None = None, decision: Decision | None = None
) -> Evaluation:
    """The figures of stored predictions with all probabilities; of two classes `positive` is the one that the curves
    are of, by default the one with fewer images. `decision` is what all of them were made by, if that is one."""
    assert stored.probabilities is not None
    logits = stored.probabilities.clamp(min=SMALLEST).log().float()
    predictions = Predictions(logits, stored.labels, stored.predicted)
    return summarise_predictions(predictions, split="test", positive=positive, decision=decision)


def _own_predictions(run: Run, table: FoldTable, fold: int) -> StoredPredictions:
    predictions, num_images = RunDir(run.path).read_predictions(), len(table.test_images(fold))
    if len(predictions) != num_images or predictions.probabilities is None:
        raise RunError(
            f"{run.path} has predictions of {len(predictions):,} images, and folds.csv has {num_images:,} for it",
            hint="delete that run and go on with --resume",
        )
    return predictions


def _figures_of(evaluation: Evaluation, class_names: Sequence[str]) -> dict[str, float]:
    over_classes = metrics_over_classes(evaluation, class_names)
    named = {name.removeprefix("test_"): value for name, value in over_classes.items()}
    values = {"accuracy": evaluation.accuracy, **named}
    own = {name: value for name, value in evaluation.custom_metrics.items() if value is not None}
    return {**own, **{name: values[name] for name in FIGURES if name in values}}


def _with_intervals(analysis: Analysis) -> dict[str, SeedFigure]:
    """Each figure of a seed, and each metric of the user's own, with the bounds of its interval."""
    evaluation, values = analysis.evaluation, analysis.to_dict()
    found = {name: SeedFigure(values[name], *values[f"{name}_interval"]) for name in FIGURES if name in values}
    for name, own in analysis.custom_metric_intervals.items():
        value = evaluation.custom_metrics[name]
        assert value is not None  # an undefined one has no interval
        bounds = own.interval or (None, None)
        found.setdefault(name, SeedFigure(value, bounds[0], bounds[1], own.reason))
    return found
