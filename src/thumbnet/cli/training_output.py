"""What the verb `train` prints at the end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from thumbnet.evaluation.aggregate import Aggregate
from thumbnet.evaluation.figure_names import is_of_per_cent, range_of
from thumbnet.evaluation.intervals import CONFIDENCE_LEVEL
from thumbnet.runs.folds.runs import FoldRuns
from thumbnet.runs.run import Run
from thumbnet.runs.seeds.runs import figures_of_seeds
from thumbnet.runs.seeds.train import SeedRuns
from thumbnet.terminal.text import counted, escaped
from thumbnet.training.progress import duration

SHOWN_OUT_OF_FOLD = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "auc": "area under the ROC curve",
    "average_precision": "average precision",
    "mean_average_precision": "mean average precision",
}
SHOWN_OVER_SEEDS = {
    "test_balanced_accuracy": "balanced accuracy",
    "test_mean_average_precision": "mean average precision",
    "test_macro_f1": "macro F1",
}
AREAS_OVER_SEEDS = {"test_auc": "area under ROC", "test_average_precision": "average precision"}


def described(done: Run | SeedRuns | FoldRuns) -> list[str]:
    """The figures of the test images, in lines."""
    metrics: Mapping[str, Any] = done.metrics
    if isinstance(done, FoldRuns):
        return [_out_of_fold(metrics)]
    if isinstance(done, SeedRuns):
        figures = figures_of_seeds(done.runs)
        seeds = ", ".join(str(run.config.seed) for run in done.runs)
        brackets = "" if len(done.runs) == 1 else f"; in brackets the {CONFIDENCE_LEVEL:.0%} interval of the mean"
        first = done.runs[0].metrics
        trained = f"{first['num_test']:,} images of {first['data']}), {duration(metrics['train_s'])} of training each"
        accuracy = f"test accuracy {_mean('test_accuracy', figures['test_accuracy'])}"
        return [f"{accuracy} (n = {metrics['n']}, seeds {seeds}{brackets}; {trained}", *_over_seeds(figures, first)]
    accuracy = (
        f"test accuracy {metrics['test_accuracy']:.2%} ({_span(metrics)}{metrics['num_test']:,} images of "
        f"{metrics['data']}) after {counted(metrics['epochs'], 'epoch')}, {duration(metrics['train_s'])} of training"
    )
    return [accuracy, *metrics_over_classes(metrics)]


def _over_seeds(figures: Mapping[str, Aggregate], first: Mapping[str, Any]) -> list[str]:
    """The means that say more than the accuracy, with what needs no model, from the metrics of the first run; none of
    runs from before they were kept."""
    lines = []
    if means := _means(figures, SHOWN_OVER_SEEDS):
        lines.append(means + _or_always(first))
    if areas := _means(figures, AREAS_OVER_SEEDS):
        lines.append(f"{escaped(first['positive'])!r} against the other class: {areas}")
    return lines


def _means(figures: Mapping[str, Aggregate], labels: Mapping[str, str]) -> str:
    return ", ".join(f"{label} {_mean(name, figures[name])}" for name, label in labels.items() if name in figures)


def _mean(name: str, figure: Aggregate) -> str:
    """A figure's mean over the seeds, with its deviation and its interval; of a single seed the value alone."""
    value_format, bound_format = _formats(name)
    bounded, bounds = figure.within(*range_of(name)), ""
    if bounded.low is not None and bounded.high is not None:
        bounds = f" [{bounded.low:{bound_format}}, {bounded.high:{bound_format}}]"
    spread = "" if bounded.std is None else f" ± {bounded.std:{value_format}}{bounds}"
    return f"{figure.mean:{value_format}}{spread}"


def _formats(name: str) -> tuple[str, str]:
    """How a figure and the bounds of its interval are written."""
    return (".2%", ".1%") if is_of_per_cent(name) else (".3f", ".3f")


def _or_always(metrics: Mapping[str, Any]) -> str:
    """What giving the commonest answer to every image would score; empty of runs from before it was kept."""
    commonest = metrics.get("commonest_class", metrics.get("commonest_labels"))
    return "" if commonest is None else f"; always {escaped(commonest)!r} has accuracy {metrics['commonest_share']:.2%}"


def metrics_over_classes(metrics: Mapping[str, Any]) -> list[str]:
    """What says more than the accuracy where classes are unequal; none of runs from before it was kept."""
    if "test_hamming_loss" in metrics:  # of several labels a picture
        mean, has_mean = "test_mean_average_precision", metrics.get("test_mean_average_precision") is not None
        found = f"mean average precision {_area(metrics, mean)}, " if has_mean else ""
        f1s = f"micro F1 {_share(metrics, 'test_micro_f1')}, macro F1 {_share(metrics, 'test_macro_f1')}"
        return [found + f1s + _or_always(metrics)]
    if "test_balanced_accuracy" not in metrics:
        return []
    scores = (
        f"balanced accuracy {_share(metrics, 'test_balanced_accuracy')}, macro F1 {_share(metrics, 'test_macro_f1')}"
    )
    lines = [scores + _or_always(metrics)]
    if "test_auc" in metrics:
        positive = f"{escaped(metrics['positive'])!r} against the other class"
        area, precision = _area(metrics, "test_auc"), _area(metrics, "test_average_precision")
        lines.append(f"{positive}: area under ROC {area}, average precision {precision}")
    if "threshold" in metrics:
        picked = metrics["threshold_rule"]
        name = f"{escaped(metrics['positive'])!r}"
        lines.append(f"{name} is answered from a probability of {metrics['threshold']:.4g} on ({picked})")
    if "unsure_below" in metrics:
        accuracy = metrics["accuracy_when_sure"]
        others = "" if accuracy is None else f", {accuracy:.2%} of the others are right"
        lines.append(f"unsure of {metrics['share_unsure']:.2%} of the test images{others}")
    if "unknown_beyond" in metrics:
        accuracy = metrics["accuracy_when_known"]
        others = "" if accuracy is None else f", {accuracy:.2%} of the others are right"
        lines.append(f"{metrics['share_unknown']:.2%} of the test images are unknown{others}")
    return lines


def _share(metrics: Mapping[str, Any], name: str) -> str:
    """A fraction in percent, with its interval in brackets, which runs from before it was kept have not."""
    bounds = metrics.get(f"{name}_interval")
    return f"{metrics[name]:.2%}" + ("" if bounds is None else f" [{bounds[0]:.1%}, {bounds[1]:.1%}]")


def _area(metrics: Mapping[str, Any], name: str) -> str:
    """The same of the area under a curve, from 0 to 1."""
    bounds = metrics.get(f"{name}_interval")
    return f"{metrics[name]:.3f}" + ("" if bounds is None else f" [{bounds[0]:.3f}, {bounds[1]:.3f}]")


def _span(metrics: Mapping[str, Any]) -> str:
    """The interval of the accuracy; empty of runs from before it was kept."""
    bounds = metrics.get("test_accuracy_interval")
    return "" if bounds is None else f"{CONFIDENCE_LEVEL:.0%} interval {bounds[0]:.1%} to {bounds[1]:.1%}; "


def _out_of_fold(metrics: Mapping[str, Any]) -> str:
    """The line that `train --folds` ends with."""
    texts = []
    for name, label in SHOWN_OUT_OF_FOLD.items():
        if name in metrics["figures"]:
            value, low, high = (metrics["figures"][name][part] for part in ("value", "low", "high"))
            value_format, bound_format = _formats(name)
            texts.append(f"{label} {value:{value_format}} [{low:{bound_format}}, {high:{bound_format}}]")
    seeds = f"seed{'s' * (len(metrics['seeds']) > 1)} {', '.join(map(str, metrics['seeds']))}"
    return (
        f"out of fold: {', '.join(texts)}{_or_always(metrics)} ({metrics['num_images']:,} images, each predicted once "
        f"by a model that was not trained on it; {metrics['num_folds']} folds, {seeds}; in brackets the "
        f"{CONFIDENCE_LEVEL:.0%} interval)"
    )
