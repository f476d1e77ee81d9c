"""What holds for all images out of fold: predictions.csv, metrics.json and report.html of a folder of folds."""

from __future__ import annotations

import csv
import io
import statistics
from collections.abc import Sequence
from dataclasses import asdict

from thumbnet.evaluation.intervals import CONFIDENCE_LEVEL
from thumbnet.runs.files.metrics import known_metrics
from thumbnet.runs.files.names import PREDICTIONS, REPORT
from thumbnet.runs.folds.label_figures import any_out_of_fold
from thumbnet.runs.folds.label_report import build_report_of_folds
from thumbnet.runs.folds.pooled import PooledFolds
from thumbnet.runs.folds.table import FoldList, FoldTable
from thumbnet.runs.leaks import leaked_test_images
from thumbnet.runs.own_data import DataPlace
from thumbnet.runs.run import Run, RunDir
from thumbnet.runs.settings import common_settings


def write_fold_results(
    folder: RunDir, runs: Sequence[Run], folds: FoldList, table: FoldTable, *, pictures: bool
) -> dict[str, object]:
    """Write what all images together give, metrics.json last, and return its values.

    Args:
        runs: fold by fold, and in each seed by seed.
        pictures: also write the report.
    """
    num_seeds = len(folds.seeds)
    found = any_out_of_fold(runs, folds, table)
    folder.write_checked(
        {
            predictions_name(folds, seed): _to_csv(runs[place::num_seeds], table)
            for place, seed in enumerate(folds.seeds)
        }
    )
    metrics = _metrics(runs, found)
    asked = folder.read_asked()
    if asked is not None:  # by an earlier version
        metrics["settings"] = common_settings(asked)
    if pictures:
        folder.write(REPORT, build_report_of_folds(folder, runs, found, DataPlace()))
    folder.write_metrics(metrics)
    return metrics


def predictions_name(folds: FoldList, seed: int) -> str:
    """The file with the predictions of all images by the models of one seed."""
    return PREDICTIONS if len(folds.seeds) == 1 else f"predictions-seed-{seed}.csv"


def _to_csv(runs: Sequence[Run], table: FoldTable) -> str:
    """The rows of the runs' predictions.csv in the source's order, with two columns more: the fold, and the image's
    index in the source."""
    header: list[str] = []
    row_of: dict[int, list[str]] = {}
    for fold, run in enumerate(runs):
        text = RunDir(run.path).read_text(PREDICTIONS)
        header, *rows = [row for row in csv.reader(io.StringIO(text, newline="")) if row]
        for place, row in zip(table.test_images(fold), rows, strict=True):
            row_of[place] = [*row, str(fold), str(place)]
    text_of_all = io.StringIO()
    writer = csv.writer(text_of_all, lineterminator="\n")
    writer.writerow([*header, "fold", "source_index"])
    for index, place in enumerate(sorted(row_of)):
        row_of[place][header.index("index")] = str(index)
        writer.writerow(row_of[place])
    return text_of_all.getvalue()


def _metrics(runs: Sequence[Run], found: PooledFolds) -> dict[str, object]:
    folds, table, always = found.folds, found.table, found.baseline
    known = [known_metrics(run.metrics) for run in runs]
    figures = found.figures
    leaked = {
        images[index]
        for place, run in enumerate(runs)
        for images in [table.test_images(place // len(folds.seeds))]
        for index in leaked_test_images(RunDir(run.path), num_test=len(images))
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
        "figures": {name: asdict(figure) for name, figure in figures.items()},
        "over_folds": {name: {"mean": mean, "std": std} for name, (mean, std) in found.over_folds().items()},
        "test_accuracy": figures["accuracy"].value,
        "test_accuracy_std": figures["accuracy"].std_over_seeds,
        "commonest_labels" if runs[0].card.has_several_labels else "commonest_class": always.class_name,
        "commonest_share": always.accuracy,
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
        "by_fold": [dict(row) for row in found.by_fold],
        "train_s": statistics.median(each.train_s for each in known),
        "total_s": sum(each.total_s for each in known),
        "date": max(str(run.metrics.get("date", "")) for run in runs),
    }
