"""What a comparison of recipes over their seeds leaves in a folder: curves and costs as pictures, comparison.json."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path

from thumbnet.errors import RunError
from thumbnet.evaluation.aggregate import Aggregate
from thumbnet.evaluation.comparison import RunMetrics
from thumbnet.runs.comparison.seeds import SeedsComparison, median_train_s
from thumbnet.runs.comparison.write import COMPARISON, check_new_or_empty
from thumbnet.runs.files.metrics import known_metrics
from thumbnet.runs.run import Run, RunDir
from thumbnet.training.history import History
from thumbnet.views.comparison import draw_costs
from thumbnet.views.curves import Curves, curves_of, draw_curves
from thumbnet.views.figure import png_bytes


def write_seeds_comparison(comparison: SeedsComparison, out_dir: str | Path) -> None:
    """Write curves.png and cost.png, both of means over the seeds, and comparison.json to a new or empty folder.

    Raises:
        ConfigError: the folder is not empty; RunError: it cannot be written.
    """
    folder = RunDir(Path(out_dir))
    check_new_or_empty(folder.path)
    try:
        folder.path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"the folder {folder.path} cannot be created: {error}", hint="name another") from error
    named = list(zip(comparison.names, comparison.runs, strict=True))
    folder.write("curves.png", png_bytes(draw_curves([_mean_curves(name, runs) for name, runs in named])))
    rows = zip(comparison.names, comparison.paths, comparison.runs, comparison.accuracies, strict=True)
    folder.write("cost.png", png_bytes(draw_costs([_metrics_of(*row) for row in rows])))
    folder.write_json(COMPARISON, comparison.to_dict())


def _metrics_of(name: str, path: Path, runs: Sequence[Run], accuracy: Aggregate) -> RunMetrics:
    known = known_metrics(runs[0].metrics)
    return RunMetrics(
        name=name,
        path=str(path),
        model=runs[0].card.model,
        num_params=known.num_params,
        macs=known.macs,
        num_images=known.num_test,
        accuracy=accuracy.mean,
        standard_error=accuracy.standard_error or 0.0,
        train_s=median_train_s(runs),
        epochs=known.epochs,
    )


def _mean_curves(name: str, runs: Sequence[Run]) -> Curves:
    """The mean curve of the seeds, over the epochs that all of them have."""
    label = f"{name}, mean of {len(runs)}"
    num_epochs = min(len(run.history) for run in runs)
    curves = [curves_of(History(tuple(run.history)[:num_epochs]), label=label) for run in runs]

    def mean(values: Sequence[Sequence[float | None]]) -> list[float | None]:
        return [
            None if None in row else statistics.fmean(value for value in row if value is not None)
            for row in zip(*values, strict=True)
        ]

    return Curves(
        label=label,
        epochs=curves[0].epochs,
        train_loss=mean([each.train_loss for each in curves]),
        train_accuracy=mean([each.train_accuracy for each in curves]),
        eval_loss=mean([each.eval_loss for each in curves]),
        eval_accuracy=mean([each.eval_accuracy for each in curves]),
        eval_split=curves[0].eval_split,
        train_balanced_accuracy=mean([each.train_balanced_accuracy for each in curves]),
        eval_balanced_accuracy=mean([each.eval_balanced_accuracy for each in curves]),
    )
