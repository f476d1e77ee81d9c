"""The report of one recipe with several seeds, from what its runs keep: no model is run again, no image read."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from thumbnet.evaluation.aggregate import Aggregate, aggregate
from thumbnet.evaluation.class_aggregates import aggregate_classes
from thumbnet.evaluation.classes import metrics_by_class, summed_confusion
from thumbnet.evaluation.predictions import StoredPredictions
from thumbnet.runs.metrics import KnownMetrics, known_metrics
from thumbnet.runs.run import REPORT, Run, RunDir
from thumbnet.terminal.text import escaped
from thumbnet.training.progress import duration
from thumbnet.views.numbers import exact_share
from thumbnet.views.report.content import Headline
from thumbnet.views.report.seeds_page import OftenWrong, SeedRow, SeedsContent, render_seeds_report

FIGURES = {  # of metrics.json, in the table of seeds
    "test_accuracy": "accuracy",
    "test_balanced_accuracy": "balanced accuracy",
    "test_macro_f1": "macro F1",
    "test_auc": "area under ROC",
    "test_loss": "loss",
}
OF_PER_CENT = ("test_accuracy", "test_balanced_accuracy", "test_macro_f1")
FRACTIONS = (*OF_PER_CENT, "test_auc")
NUM_OFTEN_WRONG = 20


def build_seeds_report(title: str, runs: Sequence[Run]) -> str:
    """The report of finished runs of one recipe, as HTML text; `title` is their folder's name."""
    known = [known_metrics(run.metrics) for run in runs]
    stored = [RunDir(run.path).read_predictions() for run in runs]
    first = runs[0]
    figures = {name: _values(runs, name) for name in FIGURES}
    return render_seeds_report(
        SeedsContent(
            title=escaped(title),
            lead=f"{first.config.model} on {first.card.data_description}: one recipe with {len(runs)} "
            f"seed{'s' * (len(runs) > 1)}",
            headlines=_headlines(figures, known),
            figures=[label for name, label in FIGURES.items() if figures[name]],
            seeds=[
                SeedRow(
                    run.config.seed,
                    f"{run.path.name}/{REPORT}" if (run.path / REPORT).exists() else "",
                    [_shown(name, figures[name][index]) for name in FIGURES if figures[name]],
                    duration(metrics.train_s),
                )
                for index, (run, metrics) in enumerate(zip(runs, known, strict=True))
            ],
            summary=[_summary(name, aggregate(values)) for name, values in figures.items() if values],
            histories=[run.history for run in runs],
            classes=aggregate_classes([metrics_by_class(each, first.card.class_names) for each in stored]),
            class_names=first.card.class_names,
            confusion=summed_confusion(stored, num_classes=len(first.card.class_names)),
            often_wrong=_often_wrong(stored, first.card.class_names),
            num_images=len(stored[0]),
        )
    )


def _values(runs: Sequence[Run], name: str) -> list[float]:
    """A figure of each run; none where a run of an earlier version has not got it."""
    values = [value for run in runs if isinstance(value := run.metrics.get(name), float)]
    return values if len(values) == len(runs) else []


def _headlines(figures: dict[str, list[float]], known: Sequence[KnownMetrics]) -> list[Headline]:
    headlines = [
        Headline(FIGURES[name].replace("accuracy", "accuracy, mean"), _shown(name, found.mean), _note(name, found))
        for name, values in figures.items()
        if values
        for found in [aggregate(values).within(0, 1 if name in FRACTIONS else math.inf)]
    ]
    times = sorted(each.train_s for each in known)
    return [*headlines, Headline("training", duration(times[len(times) // 2]), "of a seed, the median")]


def _note(name: str, figure: Aggregate) -> str:
    if figure.std is None or figure.low is None or figure.high is None:
        return "of a single seed"
    low, high = (_shown(name, bound).removesuffix(" %") for bound in (figure.low, figure.high))
    return f"± {_shown(name, figure.std)} from seed to seed; 95 % interval {low} to {high}"


def _summary(name: str, figure: Aggregate) -> tuple[str, str]:
    """Mean and deviation, as the foot of the table of seeds has them."""
    return _shown(name, figure.mean), "-" if figure.std is None else _shown(name, figure.std)


def _shown(name: str, value: float) -> str:
    return exact_share(value) if name in OF_PER_CENT else f"{value:.4f}"


def _often_wrong(stored: Sequence[StoredPredictions], class_names: Sequence[str]) -> list[OftenWrong]:
    """The images that most seeds get wrong, those first on which the wrong ones are surest."""
    wrong = torch.stack([~each.right for each in stored])
    sureness = torch.stack([each.confidence for each in stored]).where(wrong, 0).sum(0)
    counts = wrong.sum(0)
    order = sorted(range(len(counts)), key=lambda index: (-int(counts[index]), -float(sureness[index])))
    rows = []
    for index in order[:NUM_OFTEN_WRONG]:
        if not counts[index]:
            break
        guesses = torch.stack([each.predicted[index] for each in stored])[wrong[:, index]]
        paths = stored[0].paths
        rows.append(
            OftenWrong(
                f"#{index}" if paths is None else paths[index],
                class_names[int(stored[0].labels[index])],
                class_names[int(guesses.mode().values)],
                int(counts[index]),
            )
        )
    return rows
