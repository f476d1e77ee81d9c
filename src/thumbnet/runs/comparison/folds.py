"""Folders of folds compared with the first of them, image by image, from what they keep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from thumbnet.errors import ConfigError, RunError
from thumbnet.evaluation.binary import margins_of
from thumbnet.evaluation.binary_intervals import AreaDifference, paired_auc_difference
from thumbnet.evaluation.comparison import (
    BALANCED_METHOD,
    CONFIDENCE_LEVEL,
    INTERVAL_METHOD,
    TEST_METHOD,
    PairedComparison,
    compare_with_baseline,
)
from thumbnet.evaluation.figure_names import is_of_per_cent
from thumbnet.evaluation.group_bootstrap import group_differences
from thumbnet.evaluation.label_differences import METHOD, FigureDifference, label_differences
from thumbnet.evaluation.metrics import Evaluation
from thumbnet.runs.comparison.runs import distinct_names
from thumbnet.runs.folds.evaluate import FoldsEvaluation, evaluate_folds
from thumbnet.runs.folds.figures import OutOfFold
from thumbnet.runs.folds.label_figures import LabelsOutOfFold
from thumbnet.runs.seeds.evaluate import shown
from thumbnet.terminal.text import escaped
from thumbnet.views.comparison import balanced_text, figure_lines, p_text

AREA_METHOD = "DeLong (1988)"


@dataclass(frozen=True)
class FoldsComparison:
    """Folders of folds, by the predictions of their first seed; the first one is the baseline.

    `comparisons` and `areas` compare the second folder, the third, ... with it; an area is None of more than two
    classes, and where all images are of one. `by_group` are the intervals of each figure's difference where images
    belong together, which those of single images are too narrow for; None where they do not. Where an image may have
    several labels, `differences` are those of the metrics over all labels, of each comparison; else it is empty.
    """

    names: tuple[str, ...]
    evaluations: tuple[FoldsEvaluation, ...]
    comparisons: tuple[PairedComparison, ...]
    areas: tuple[AreaDifference | None, ...]
    by_group: tuple[Mapping[str, tuple[float, float]] | None, ...]
    differences: tuple[Mapping[str, FigureDifference], ...] = ()

    def to_dict(self) -> dict[str, object]:
        """Plain values for JSON."""
        differences = self.differences or (None,) * len(self.comparisons)
        rows = zip(self.names[1:], self.comparisons, self.areas, self.by_group, differences, strict=True)
        return {
            "baseline": self.names[0],
            "num_images": self.evaluations[0].found.num_images,
            "confidence_level": CONFIDENCE_LEVEL,
            "interval_method": INTERVAL_METHOD,
            "test_method": TEST_METHOD,
            "balanced_method": BALANCED_METHOD,
            "area_method": AREA_METHOD,
            **({"figures_method": METHOD} if self.differences else {}),
            "folders": [
                {"name": name, "path": str(each.path), "seed": each.seeds[0], **_figures(each.found)}
                for name, each in zip(self.names, self.evaluations, strict=True)
            ],
            "comparisons": [
                {
                    "name": name,
                    "difference": pair.difference,
                    "low": pair.interval.low,
                    "high": pair.interval.high,
                    "p_value": pair.p_value,
                    "holm_p_value": pair.holm_p_value,
                    "balanced_accuracy_difference": None if pair.balanced is None else asdict(pair.balanced),
                    "auc_difference": None if area is None else asdict(area),
                    "by_group": None if by_group is None else dict(by_group),
                    **({} if figures is None else {"figures": {key: asdict(value) for key, value in figures.items()}}),
                }
                for name, pair, area, by_group, figures in rows
            ],
        }

    def __str__(self) -> str:
        lines = [f"{self.evaluations[0].found.num_images:,} images, each predicted out of fold, on the same folds"]
        for name, each in zip(self.names, self.evaluations, strict=True):
            texts = [f"{key.replace('_', ' ')} {shown(key, value)}" for key, value in _figures(each.found).items()]
            lines.append(f"{escaped(name)} ({each.model}{_which_seed(each.seeds)}): {', '.join(texts)}")
        has_several = len(self.comparisons) > 1
        rows = zip(self.names[1:], self.comparisons, self.areas, self.by_group, strict=True)
        for index, (name, pair, area, by_group) in enumerate(rows):
            interval = f"{100 * pair.interval.low:+.2f} to {100 * pair.interval.high:+.2f}"
            level = f"{CONFIDENCE_LEVEL:.0%} interval"
            corrected = f" ({p_text(pair.holm_p_value)} corrected)" if has_several else ""
            lines.append(f"{escaped(name)} against {escaped(self.names[0])}:")
            difference = f"accuracy {100 * pair.difference:+.2f} points ({level} {interval})"
            lines.append(f"    {difference}, {p_text(pair.p_value)}{corrected}")
            if pair.balanced is not None:
                lines.append(f"    {balanced_text(pair.balanced)}")
            if area is not None:
                bounds = f"{area.interval[0]:+.4f} to {area.interval[1]:+.4f}"
                difference = f"area under the ROC curve {area.difference:+.4f} ({level} {bounds})"
                lines.append(f"    {difference}, {p_text(area.p_value)}")
            lines += [f"    {line}" for line in figure_lines(self.differences[index])] if self.differences else []
            if by_group is not None:
                texts = [f"{key.replace('_', ' ')} {_span(key, *bounds)}" for key, bounds in by_group.items()]
                lines.append(f"    by groups, which belong together ({level}): {', '.join(texts)}")
        others = f"other figures: {METHOD}" if self.differences else f"area: {AREA_METHOD}"
        if any(pair.balanced is not None for pair in self.comparisons):
            others = f"balanced accuracy: {BALANCED_METHOD}; {others}"
        test = f"{TEST_METHOD}{', corrected by Holm' * has_several}"
        return "\n".join([*lines, f"Accuracy: {INTERVAL_METHOD}, {test}; {others}."])


def compare_folds(folders: Sequence[str | Path], *, trust_code: bool = False) -> FoldsComparison:
    """Compare folders that `train --folds` made with the first of them, image by image; `trust_code` as in `load_run`.

    Raises:
        ConfigError: fewer than two folders, or one given twice.
        RunError: one is not finished, or its images were divided otherwise.
    """
    if len(folders) < 2:
        raise ConfigError(f"{len(folders)} folder given to compare", hint="name two folders or more")
    names = tuple(distinct_names([Path(folder) for folder in folders]))
    evaluations = tuple(evaluate_folds(folder, trust_code=trust_code) for folder in folders)
    first = evaluations[0]
    for each in evaluations[1:]:
        if each.found.table != first.found.table or type(each.found) is not type(first.found):
            raise RunError(
                f"the images of {each.path} and {first.path} were divided differently",
                hint="train both on the same data with the same split_seed, groups, exclude and number of folds",
            )
    stored = [each.found.stored[0] for each in evaluations]
    areas = tuple(_area_difference(first, each) for each in evaluations[1:])
    by_group = tuple(_group_differences(first, each) for each in evaluations[1:])
    comparisons = compare_with_baseline(stored[0], stored[1:])
    labelled = [each.found.evaluations[0] for each in evaluations if isinstance(each.found, LabelsOutOfFold)]
    differences = tuple(label_differences(labelled[0], each) for each in labelled[1:])
    return FoldsComparison(names, evaluations, comparisons, areas, by_group, differences)


def _area_difference(first: FoldsEvaluation, other: FoldsEvaluation) -> AreaDifference | None:
    before, after = _single_label(first), _single_label(other)
    if before is None or after is None or before.binary is None:
        return None
    positive = before.binary.positive
    first_margins, other_margins = (margins_of(each.predictions.logits, positive=positive) for each in (before, after))
    return paired_auc_difference(first_margins, other_margins, (before.predictions.labels == positive).numpy())


def _group_differences(first: FoldsEvaluation, other: FoldsEvaluation) -> dict[str, tuple[float, float]] | None:
    known = first.found.table.groups()
    if known is None:
        return None
    groups = np.array(known, np.int64)
    if isinstance(first.found, LabelsOutOfFold) and isinstance(other.found, LabelsOutOfFold):
        found = label_differences(first.found.evaluations[0], other.found.evaluations[0], groups)
        return {name: (each.low, each.high) for name, each in found.items()}
    before, after = _single_label(first), _single_label(other)
    assert before is not None
    assert after is not None
    return group_differences(before.predictions, after.predictions, groups, positive=before.positive)


def _single_label(folds: FoldsEvaluation) -> Evaluation | None:
    """The metrics of the first seed; None where an image may have several labels."""
    return folds.found.analyses[0].evaluation if isinstance(folds.found, OutOfFold) else None


def _which_seed(seeds: Sequence[int]) -> str:
    """Of which seed the figures are, where there are several."""
    return "" if len(seeds) == 1 else f", seed {seeds[0]}, the first of {len(seeds)}"


def _span(name: str, low: float, high: float) -> str:
    """An interval of a difference, in points where the figure is shown as per cent."""
    if is_of_per_cent(name):
        return f"{100 * low:+.2f} to {100 * high:+.2f} points"
    return f"{low:+.4f} to {high:+.4f}"


def _figures(found: OutOfFold | LabelsOutOfFold) -> dict[str, float]:
    if isinstance(found, LabelsOutOfFold):
        return found.evaluations[0].figures
    analysis = found.analyses[0]
    figures = {"accuracy": analysis.evaluation.accuracy, "balanced_accuracy": analysis.overall.balanced_accuracy}
    if analysis.binary is not None:
        figures["auc"] = analysis.binary.curves.auc
    return figures
