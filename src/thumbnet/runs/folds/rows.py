"""The table of folds in their report: every fold's figures, and over all folds mean, deviation and interval."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from thumbnet.evaluation.figure_names import is_of_per_cent
from thumbnet.evaluation.intervals import CONFIDENCE_LEVEL
from thumbnet.runs.files.metrics import known_metrics
from thumbnet.runs.files.names import REPORT
from thumbnet.runs.folds.figures import common_decision
from thumbnet.runs.folds.pooled import PooledFigure, PooledFolds
from thumbnet.runs.run import Run
from thumbnet.training.progress import duration
from thumbnet.views.numbers import exact_share, per_cent, share
from thumbnet.views.report.content import FoldRow, FoldsContent
from thumbnet.views.report.threshold import threshold_text

LABELS = {  # of the figures; metrics of the user's own have their names
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro F1",
    "mcc": "Matthews\u2019 coefficient",
    "auc": "area under ROC",
    "average_precision": "average precision",
    "mean_average_precision": "mean average precision",
    "micro_f1": "F1 over all answers",
    "hamming_loss": "wrong answers",
}
NO_BREAK = "\u00a0"


def folds_content(runs: Sequence[Run], found: PooledFolds) -> FoldsContent:
    """Every fold's figures, and what all folds together give; of runs fold by fold and in each seed by seed."""
    names = list(found.figures)
    return FoldsContent(
        figures=[LABELS.get(name, name) for name in names],
        rows=_fold_rows(runs, found, names),
        summary=_summary_rows(found, names),
        hint=_hint(found),
        histories=[run.history for run in runs[:: len(found.folds.seeds)]],
        thresholds=_thresholds(runs),
        has_groups=found.table.groups() is not None,
    )


def _fold_rows(runs: Sequence[Run], found: PooledFolds, names: Sequence[str]) -> list[FoldRow]:
    seeds, rows = found.folds.seeds, []
    for fold, own in enumerate(found.by_fold):
        of_fold = runs[fold * len(seeds) : (fold + 1) * len(seeds)]
        known = [known_metrics(run.metrics) for run in of_fold]
        reports = [
            (f"fold {fold}" if len(seeds) == 1 else f"seed {seed}", f"{run.path.name}/{REPORT}")
            for seed, run in zip(seeds, of_fold, strict=True)
            if (run.path / REPORT).exists()
        ]
        figures = [_in_table(name, own.get(name)) for name in names]
        training = duration(statistics.median(each.train_s for each in known))
        rows.append(FoldRow(str(fold), f"{known[0].num_test:,}", figures, training, reports))
    return rows


def _summary_rows(found: PooledFolds, names: Sequence[str]) -> list[FoldRow]:
    """What all folds together give, figure by figure."""
    over_folds, pooled = found.over_folds(), found.figures
    num_images = f"{found.num_images:,}"
    rows = [
        FoldRow("mean", "", [_in_table(name, over_folds[name][0]) for name in names]),
        FoldRow("deviation", "", [_in_table(name, over_folds[name][1]) for name in names]),
        FoldRow("all images", num_images, [_in_table(name, pooled[name].value) for name in names]),
        FoldRow(f"{per_cent(CONFIDENCE_LEVEL)} interval", num_images, [_span(name, pooled[name]) for name in names]),
    ]
    if len(found.folds.seeds) > 1:
        spread = [_in_table(name, pooled[name].std_over_seeds) for name in names]
        rows.append(FoldRow("seed to seed", num_images, spread))
    return rows


def _span(name: str, figure: PooledFigure) -> str:
    if figure.low is None or figure.high is None:
        return "-"
    low, high = _in_table(name, figure.low), _in_table(name, figure.high)
    return f"{low.removesuffix(f'{NO_BREAK}%')} to {high}"


def _hint(found: PooledFolds) -> str:
    by = "images" if found.table.groups() is None else "groups of images"
    hint = (
        "Mean and deviation are of the folds above. All images: the predictions of all folds pooled; the interval is "
        f"that which other {by} would give."
    )
    if len(found.folds.seeds) > 1:
        hint += f" Every figure is a mean over {len(found.folds.seeds)} seeds; seed to seed: its deviation over them."
    return hint


def _thresholds(runs: Sequence[Run]) -> str:
    """How the models answer; empty where they have no thresholds, or one that was given for all."""
    picked = [run.card.decision.threshold for run in runs if run.card.decision is not None]
    if not picked or common_decision(runs) is not None:
        return ""
    span = f"{threshold_text(min(picked))} to {threshold_text(max(picked))}"
    return (
        f"Each fold\u2019s model answers at a threshold of its own, {span}, which all other figures of this page "
        "obey; here one threshold is for all, and the ring is at 50 %."
    )


def shown(name: str, value: float) -> str:
    """A figure of all images, as a headline has it."""
    return exact_share(value) if is_of_per_cent(name) else f"{value:.3f}"


def _in_table(name: str, value: float | None) -> str:
    """As the table has it, where only an interval may be broken into two lines."""
    if value is None:
        return "-"
    return share(value).replace(" ", NO_BREAK) if is_of_per_cent(name) else f"{value:.3f}"
