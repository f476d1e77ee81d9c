"""The report of one recipe with several seeds, from what its runs keep: no model is run again, no image read."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch

from thumbnet.data.class_counts import label_text
from thumbnet.evaluation.aggregate import Aggregate, aggregate
from thumbnet.evaluation.class_aggregates import aggregate_classes
from thumbnet.evaluation.classes import ClassMetrics, metrics_by_class, summed_confusion
from thumbnet.evaluation.comparison import Stored
from thumbnet.evaluation.figure_names import is_of_per_cent, range_of
from thumbnet.evaluation.label_predictions import StoredLabels
from thumbnet.evaluation.multi_label import label_evaluation_of
from thumbnet.evaluation.predictions import StoredPredictions
from thumbnet.runs.files.metrics import KnownMetrics, known_metrics
from thumbnet.runs.run import REPORT, Run, RunDir, read_robustness
from thumbnet.specs.data import NO_LABEL
from thumbnet.terminal.text import escaped
from thumbnet.training.progress import duration
from thumbnet.views.numbers import always_text, exact_share
from thumbnet.views.report.content import Headline
from thumbnet.views.report.labels_page import BETWEEN
from thumbnet.views.report.seeds_page import OftenWrong, SeedRow, SeedsContent, render_seeds_report

FIGURES = {  # of metrics.json, in the table of seeds
    "test_accuracy": "accuracy",
    "test_balanced_accuracy": "balanced accuracy",
    "test_macro_f1": "macro F1",
    "test_mcc": "Matthews\u2019 coefficient",
    "test_auc": "area under ROC",
    "test_average_precision": "average precision",
    "test_loss": "loss",
}
FIGURES_OF_LABELS = {
    "test_accuracy": "accuracy",
    "test_mean_average_precision": "mean average precision",
    "test_micro_f1": "micro F1",
    "test_macro_f1": "macro F1",
    "test_hamming_loss": "wrong answers",
    "test_loss": "loss",
}
NUM_OFTEN_WRONG = 20


def build_seeds_report(title: str, runs: Sequence[Run]) -> str:
    """The report of finished runs of one recipe, as HTML text; `title` is their folder's name."""
    known = [known_metrics(run.metrics) for run in runs]
    stored = [RunDir(run.path).read_any_predictions() for run in runs]
    measured = [read_robustness(RunDir(run.path)) for run in runs]
    first, names = runs[0], runs[0].card.class_names
    of_one_label = [each for each in stored if isinstance(each, StoredPredictions)]
    labels = FIGURES_OF_LABELS if first.card.has_several_labels else FIGURES
    figures = {name: values for name in labels if (values := _values(runs, name))}
    return render_seeds_report(
        SeedsContent(
            title=escaped(title),
            lead=f"{first.config.model} on {first.card.data_description}: one recipe with {len(runs)} "
            f"seed{'s' * (len(runs) > 1)}",
            headlines=_headlines(figures, labels, first.metrics, known),
            figures=[labels[name] for name in figures],
            seeds=[
                SeedRow(
                    run.config.seed,
                    f"{run.path.name}/{REPORT}" if (run.path / REPORT).exists() else "",
                    [_shown(name, values[index]) for name, values in figures.items()],
                    duration(metrics.train_s),
                )
                for index, (run, metrics) in enumerate(zip(runs, known, strict=True))
            ],
            summary=[_summary(name, aggregate(values)) for name, values in figures.items()],
            histories=[run.history for run in runs],
            classes=aggregate_classes([_classes_of(each, names) for each in stored]),
            class_names=names,
            confusion=summed_confusion(of_one_label, num_classes=len(names)) if of_one_label else None,
            often_wrong=_often_wrong(stored, names),
            num_images=len(stored[0]),
            robustness=[each for each in measured if each is not None],
        )
    )


def _classes_of(stored: Stored, class_names: tuple[str, ...]) -> tuple[ClassMetrics, ...]:
    if isinstance(stored, StoredLabels):
        return label_evaluation_of(stored, class_names).classes
    return metrics_by_class(stored, class_names)


def _values(runs: Sequence[Run], name: str) -> list[float]:
    """A figure of each run; none where a run of an earlier version has not got it."""
    values = [value for run in runs if isinstance(value := run.metrics.get(name), float)]
    return values if len(values) == len(runs) else []


def _headlines(
    figures: Mapping[str, list[float]],
    labels: Mapping[str, str],
    metrics: Mapping[str, object],
    known: Sequence[KnownMetrics],
) -> list[Headline]:
    """The means of the figures, with what needs no model, from the `metrics` of the first run."""
    headlines = [
        Headline(labels[name].replace("accuracy", "accuracy, mean"), _shown(name, found.mean), _note(name, found))
        for name, values in figures.items()
        for found in [aggregate(values).within(*range_of(name))]
    ]
    commonest, share = metrics.get("commonest_class", metrics.get("commonest_labels")), known[0].commonest_share
    if commonest is not None and share is not None:  # else they are from before it was kept
        note = f"{headlines[0].note}; {always_text(str(commonest), share)}"
        headlines[0] = replace(headlines[0], note=note)
    median_s = statistics.median(each.train_s for each in known)
    return [*headlines, Headline("training", duration(median_s), "of a seed, the median")]


def _note(name: str, figure: Aggregate) -> str:
    if figure.std is None:
        return "of a single seed"
    if figure.low is None or figure.high is None:
        return f"the same with all {figure.n} seeds, which gives no interval"
    low, high = (_shown(name, bound).removesuffix(" %") for bound in (figure.low, figure.high))
    return f"± {_shown(name, figure.std)} from seed to seed; 95 % interval {low} to {high}"


def _summary(name: str, figure: Aggregate) -> tuple[str, str]:
    """Mean and deviation, as the foot of the table of seeds has them."""
    return _shown(name, figure.mean), "-" if figure.std is None else _shown(name, figure.std)


def _shown(name: str, value: float) -> str:
    return exact_share(value) if is_of_per_cent(name) else f"{value:.4f}"


def _often_wrong(stored: Sequence[Stored], class_names: Sequence[str]) -> list[OftenWrong]:
    """The images that most seeds get wrong, those first on which the wrong ones are surest."""
    wrong = torch.stack([~each.right for each in stored])
    sureness = torch.stack([each.confidence for each in stored]).where(wrong, 0).sum(0)
    counts = wrong.sum(0)
    order = sorted(range(len(counts)), key=lambda index: (-int(counts[index]), -float(sureness[index])))
    rows = []
    for index in order[:NUM_OFTEN_WRONG]:
        if not counts[index]:
            break
        guesses = [
            label_text(each.predicted[index], class_names, separator=BETWEEN) or NO_LABEL
            for each, is_wrong in zip(stored, wrong[:, index].tolist(), strict=True)
            if is_wrong
        ]
        paths = stored[0].paths
        rows.append(
            OftenWrong(
                f"#{index}" if paths is None else paths[index],
                label_text(stored[0].labels[index], class_names, separator=BETWEEN) or NO_LABEL,
                Counter(guesses).most_common(1)[0][0],
                int(counts[index]),
            )
        )
    return rows
