"""What holds for all images out of fold: predictions.csv, metrics.json and report.html of a folder of folds."""

from __future__ import annotations

import csv
import io
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch

from thumbnet.config import TrainConfig
from thumbnet.data.dataset import Split
from thumbnet.errors import RunError
from thumbnet.evaluation.analysis import Analysis, analyse
from thumbnet.evaluation.group_bootstrap import group_intervals
from thumbnet.evaluation.intervals import CONFIDENCE_LEVEL, accuracy_interval
from thumbnet.evaluation.metrics import Evaluation, summarise_predictions
from thumbnet.evaluation.predictions import Predictions, StoredPredictions
from thumbnet.runs.fold_table import FoldList, FoldTable
from thumbnet.runs.leaks import kept_leaks
from thumbnet.runs.metrics import known_metrics
from thumbnet.runs.names import PREDICTIONS, REPORT, SHARED_CONFIG
from thumbnet.runs.own_data import load_own_dataset
from thumbnet.runs.report import build_report
from thumbnet.runs.reproduce import RECIPE_FROM_CONFIG, reproducing_command
from thumbnet.runs.run import Run, RunDir
from thumbnet.terminal.text import escaped

FIGURES = ("accuracy", "balanced_accuracy", "macro_f1", "mcc", "auc", "average_precision")  # with an interval
SMALLEST = 1e-12  # of a probability, whose logarithm is taken


def write_fold_results(
    folder: RunDir, runs: Sequence[Run], folds: FoldList, table: FoldTable, *, pictures: bool
) -> dict[str, object]:
    """Write what all images together give, metrics.json last, and return its values.

    Args:
        runs: fold by fold, and in each seed by seed.
        pictures: also write the report, of the first seed.
    """
    of_seed = {seed: runs[place :: len(folds.seeds)] for place, seed in enumerate(folds.seeds)}
    class_names = runs[0].card.class_names
    evaluations = {seed: evaluation_of(pool_predictions(each, table)) for seed, each in of_seed.items()}
    analyses = {seed: analyse(evaluation, class_names) for seed, evaluation in evaluations.items()}
    folder.write_checked({predictions_name(folds, seed): _to_csv(each, table) for seed, each in of_seed.items()})
    metrics = _metrics(runs, folds, table, analyses)
    if pictures:
        first = folds.seeds[0]
        folder.write(REPORT, _report(folder, of_seed[first], table, evaluations[first], num_seeds=len(of_seed)))
    folder.write_metrics(metrics)
    return metrics


def predictions_name(folds: FoldList, seed: int) -> str:
    """The file with the predictions of all images by the models of one seed."""
    return PREDICTIONS if len(folds.seeds) == 1 else f"predictions-seed-{seed}.csv"


def pool_predictions(runs: Sequence[Run], table: FoldTable) -> StoredPredictions:
    """The predictions of all images, each by the model that was not trained on it, in the source's order.

    Args:
        runs: one a fold, in their order.

    Raises:
        RunError: a run has predictions of other images than the table says.
    """
    places: list[int] = []
    stored: list[StoredPredictions] = []
    for fold, run in enumerate(runs):
        images, predictions = table.test_images(fold), RunDir(run.path).read_predictions()
        if len(images) != len(predictions) or predictions.probabilities is None:
            raise RunError(
                f"{run.path} has predictions of {len(predictions):,} images, and folds.csv has {len(images):,} for it",
                hint="delete that run and go on with --resume",
            )
        places += images
        stored.append(predictions)
    order = torch.tensor(places).argsort()
    paths = [path for each in stored for path in each.paths or ()]
    return StoredPredictions(
        torch.cat([each.labels for each in stored])[order],
        torch.cat([each.predicted for each in stored])[order],
        torch.cat([each.confidence for each in stored])[order],
        tuple(paths[place] for place in order.tolist()) if paths else None,
        torch.cat([each.probabilities for each in stored if each.probabilities is not None])[order],
    )


def evaluation_of(stored: StoredPredictions) -> Evaluation:
    """The figures of stored predictions."""
    assert stored.probabilities is not None
    logits = stored.probabilities.clamp(min=SMALLEST).log().float()
    return summarise_predictions(Predictions(logits, stored.labels, stored.predicted), split="test")


def _to_csv(runs: Sequence[Run], table: FoldTable) -> str:
    """The rows of the runs' predictions.csv in the source's order, with two columns more: the fold, and the image's
    index in the source."""
    header: list[str] = []
    row_of: dict[int, list[str]] = {}
    for fold, run in enumerate(runs):
        text = RunDir(run.path).read_checked(PREDICTIONS).decode()
        header, *rows = csv.reader(io.StringIO(text, newline=""))
        for place, row in zip(table.test_images(fold), rows, strict=True):
            row_of[place] = [*row, str(fold), str(place)]
    text_of_all = io.StringIO()
    writer = csv.writer(text_of_all, lineterminator="\n")
    writer.writerow([*header, "fold", "source_index"])
    for index, place in enumerate(sorted(row_of)):
        row_of[place][header.index("index")] = str(index)
        writer.writerow(row_of[place])
    return text_of_all.getvalue()


def _metrics(
    runs: Sequence[Run], folds: FoldList, table: FoldTable, analyses: Mapping[int, Analysis]
) -> dict[str, object]:
    known = [known_metrics(run.metrics) for run in runs]
    figures = _figures(list(analyses.values()), table)
    accuracies = [analysis.evaluation.accuracy for analysis in analyses.values()]
    leaked = {
        images[index]
        for place, run in enumerate(runs)
        for images in [table.test_images(place // len(folds.seeds))]
        for index in kept_leaks(RunDir(run.path)).held_out_of("test")
    }
    return {
        "n": len(folds.seeds),
        "num_folds": folds.num_folds,
        "seeds": list(folds.seeds),
        "recipe": runs[0].config.recipe,
        "model": runs[0].config.model,
        "data": runs[0].config.data,
        "groups": runs[0].config.division.groups,
        "num_images": sum(not row.is_excluded for row in table.rows),
        "num_excluded": sum(row.is_excluded for row in table.rows),
        "num_leaks": len(leaked),
        "confidence_level": CONFIDENCE_LEVEL,
        "figures": figures,
        "test_accuracy": statistics.fmean(accuracies),
        "test_accuracy_std": statistics.stdev(accuracies) if len(accuracies) > 1 else None,
        "folds": [
            {
                "fold": place // len(folds.seeds),
                "seed": run.config.seed,
                "num_test": each.num_test,
                "test_accuracy": each.test_accuracy,
                "epochs": each.epochs,
                "train_s": each.train_s,
            }
            for place, (run, each) in enumerate(zip(runs, known, strict=True))
        ],
        "train_s": statistics.median(each.train_s for each in known),
        "total_s": sum(each.total_s for each in known),
    }


def _figures(analyses: Sequence[Analysis], table: FoldTable) -> dict[str, dict[str, float | None]]:
    """Each figure's mean over the seeds, the interval that other images, or groups of them, would give it (the mean of
    the seeds' bounds), and its deviation from seed to seed."""
    figures: dict[str, dict[str, float | None]] = {}
    rows = [analysis.to_dict() for analysis in analyses]
    groups = table.groups()
    for row, analysis in zip(rows, analyses, strict=True):
        row["accuracy_interval"] = accuracy_interval(row["accuracy"], row["num_images"])
        if groups is not None:
            predictions, positive = analysis.evaluation.predictions, analysis.evaluation.positive
            intervals = group_intervals(predictions, np.array(groups), positive=positive)
            for name, (low, high) in intervals.items():  # of groups that are all right alike, a bootstrap knows nothing
                first_low, first_high = row[f"{name}_interval"]
                row[f"{name}_interval"] = min(low, first_low), max(high, first_high)
    for name in FIGURES:
        if all(name in row for row in rows):
            values = [row[name] for row in rows]
            figures[name] = {
                "value": statistics.fmean(values),
                "low": statistics.fmean(row[f"{name}_interval"][0] for row in rows),
                "high": statistics.fmean(row[f"{name}_interval"][1] for row in rows),
                "std_over_seeds": statistics.stdev(values) if len(values) > 1 else None,
            }
    return figures


def _report(folder: RunDir, runs: Sequence[Run], table: FoldTable, evaluation: Evaluation, *, num_seeds: int) -> str:
    """The report of all images: figures, confusion and gallery out of fold; curves and network of the first fold."""
    first = runs[0]
    own = load_own_dataset(first)
    everything = _all_images([own.test, *(load_own_dataset(run).test for run in runs[1:])], table)
    dataset = replace(own, val=None, test=everything)
    folds = "; ".join(
        f"fold {number}: {known_metrics(run.metrics).num_test:,} images, accuracy "
        f"{known_metrics(run.metrics).test_accuracy:.2%}"
        for number, run in enumerate(runs)
    )
    return build_report(
        config=first.config.replace(folds=None, fold=None),
        command=_command(first, folder.read_asked(), len(runs), num_seeds),
        dataset=dataset,
        model=first.model,
        history=first.history,
        evaluation=evaluation,
        metrics={**first.metrics, "num_leaks": 0},
        title=escaped(folder.path.resolve().name),
        note=(
            f"Each of {evaluation.num_images:,} images was predicted once, by a model that was not trained on it: the "
            f"figures pool {len(runs)} models, and areas mix their scales. {folds}. Curves, times, parameters and the "
            "maps of where it looked are those of fold 0."
        ),
    )


def _command(first: Run, asked: TrainConfig | None, num_folds: int, num_seeds: int) -> str:
    """The command that trains the same again."""
    command = reproducing_command(first.config, asked, sides=first.card.image_shape[1:])
    if command == RECIPE_FROM_CONFIG:
        command = f"thumbnet train --recipe {SHARED_CONFIG}"
    seeds = f" --seeds {num_seeds}" if num_seeds > 1 else ""
    return f"{command} --folds {num_folds}{seeds}"


def _all_images(splits: Sequence[Split], table: FoldTable) -> Split:
    """The test images of all folds, in the source's order."""
    order = torch.tensor([index for fold in range(len(splits)) for index in table.test_images(fold)]).argsort()
    paths = [path for split in splits for path in split.paths or ()]
    return Split(
        torch.cat([split.images for split in splits])[order],
        torch.cat([split.labels for split in splits])[order],
        tuple(paths[place] for place in order.tolist()) if paths else None,
    )
