"""The report's section on accuracy under corruptions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from thumbnet.evaluation.intervals import CONFIDENCE_LEVEL, Interval
from thumbnet.evaluation.robustness import Robustness
from thumbnet.views.numbers import bounds_text, per_cent, share
from thumbnet.views.report.charts import Chart, Line, draw_lines
from thumbnet.views.robustness_curves import RobustnessCurve, robustness_curves

ONLY_COMMON = "Only corruptions and strengths that all of these measured are shown."


@dataclass(frozen=True)
class ScoreRow:
    """A corruption, its strength in the unit of its chart, and accuracy and balanced accuracy under it, as texts."""

    corruption: str
    strength: str
    accuracy: str
    balanced_accuracy: str


@dataclass(frozen=True)
class RobustnessSection:
    """What the section shows: sentences, a chart for each corruption, and a table of accuracy and balanced accuracy,
    which has no rows where the two are one number."""

    text: str
    charts: Sequence[Chart]
    rows: Sequence[ScoreRow] = ()


def robustness_section(
    robustness: Robustness | None, *, num_test: int, out_of_fold: bool = False, counted_as: str = "", note: str = ""
) -> RobustnessSection | None:
    """The section of a model, or of models whose figures are pooled; None where nothing was measured.

    Of `num_test` test images, or of images `out_of_fold`, these may be a sample. `counted_as` says which images count
    as right, where that is not plain, and `note` what else there is to know.
    """
    if robustness is None:
        return None
    clean = with_bounds(robustness.accuracy, robustness.interval_of(robustness.accuracy))
    mean = with_bounds(robustness.mean_accuracy, robustness.mean_interval)
    is_all = robustness.num_images == num_test
    images = images_text(f"{robustness.num_images:,}", is_all=is_all, out_of_fold=out_of_fold)
    sentences = [scores_sentence(images, clean, mean, counted_as=counted_as)]
    balanced, mean_balanced = robustness.balanced_accuracy, robustness.mean_balanced_accuracy
    if balanced is not None and mean_balanced is not None:
        clean = with_bounds(balanced, robustness.balanced_accuracy_interval)
        mean = with_bounds(mean_balanced, robustness.mean_balanced_interval)
        sentences.append(balanced_sentence(clean, mean, is_drawn=robustness.has_other_balanced))
    sentences.append(f"In brackets, and as a band in the charts: {per_cent(CONFIDENCE_LEVEL)} intervals.")
    rows = [
        ScoreRow(
            row.corruption,
            f"{row.strength:g}",
            with_bounds(row.accuracy, robustness.interval_of(row.accuracy)),
            with_bounds(row.balanced_accuracy, row.balanced_accuracy_interval),
        )
        for row in robustness.rows
        if row.balanced_accuracy is not None and robustness.has_other_balanced
    ]
    charts = draw_robustness(robustness_curves(robustness))
    return RobustnessSection(" ".join([*sentences, *([note] if note else [])]), charts, rows)


def images_text(num_images: str, *, is_all: bool, out_of_fold: bool = False) -> str:
    """Which images were measured on: all, or a sample that is the same for every model."""
    kind = "images out of fold" if out_of_fold else "test images"
    return f"all {num_images} {kind}" if is_all else f"a fixed sample of {num_images} {kind}"


def scores_sentence(images: str, as_they_are: str, mean: str, *, counted_as: str) -> str:
    """What the accuracy is, of the images as they are and on average."""
    return (
        f"Accuracy{counted_as} on {images}: {as_they_are} as they are, {mean} on average over all corruptions and "
        "strengths below."
    )


def balanced_sentence(as_they_are: str, mean: str, *, is_drawn: bool) -> str:
    """What balanced accuracy is, of the images as they are and on average, and whether the charts show it."""
    drawn = " The charts show this one." if is_drawn else ""
    return f"Balanced accuracy, the mean recall of the classes: {as_they_are} as they are, {mean} on average.{drawn}"


def draw_robustness(curves: Sequence[RobustnessCurve]) -> list[Chart]:
    """Scores against strength, corruption by corruption, with that of the images as they are for comparison."""
    return [
        draw_lines(
            curve.corruption,
            [
                Line("corrupted", curve.strengths, curve.values, bounds=curve.bounds),
                Line("as they are", curve.strengths, [curve.as_they_are] * len(curve.strengths), 1),
            ],
            x_label=curve.unit,
            y_format=per_cent,
            y_range=(0, 1),
        )
        for curve in curves
    ]


def with_bounds(value: float, bounds: Interval | None) -> str:
    """A share with its interval in brackets, where it has one."""
    return share(value) if bounds is None else f"{share(value)} ({bounds_text(bounds)})"
