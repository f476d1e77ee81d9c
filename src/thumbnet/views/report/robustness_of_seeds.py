"""The section on accuracy under corruptions in the report of several seeds: means, and how far the seeds differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from thumbnet.evaluation.aggregate import Aggregate, aggregate
from thumbnet.evaluation.intervals import CONFIDENCE_LEVEL, Interval
from thumbnet.evaluation.pooled_robustness import mean_over_seeds, with_common_rows
from thumbnet.evaluation.robustness import Robustness
from thumbnet.views.numbers import per_cent, share
from thumbnet.views.report.robustness_section import (
    ONLY_COMMON,
    RobustnessSection,
    ScoreRow,
    balanced_sentence,
    draw_robustness,
    images_text,
    scores_sentence,
)
from thumbnet.views.robustness_curves import robustness_curves


def robustness_section_of_seeds(
    measured: Sequence[Robustness], *, num_seeds: int, num_test: int, counted_as: str = ""
) -> RobustnessSection | None:
    """The section of those of `num_seeds` seeds that measured it; None where none did, or where they have no corruption
    in common. The other arguments are those of `robustness_section`."""
    common = with_common_rows(measured)
    if not common:
        return None
    by_place = list(zip(*(each.scores for each in common), strict=True))  # the images as they are, then row by row
    accuracies = [_over_seeds([accuracy for accuracy, _ in place]) for place in by_place]
    known = [[balanced for _, balanced in place if balanced is not None] for place in by_place]
    has_balanced = all(len(own) == len(common) for own in known)
    balanced = [_over_seeds(own) for own in known] if has_balanced else []
    mean = mean_over_seeds(common)
    of_rows = iter((balanced if mean.has_other_balanced else accuracies)[1:])
    curves = [
        replace(curve, bounds=[_bounds(next(of_rows)) for _ in curve.values]) for curve in robustness_curves(mean)
    ]
    means = _over_seeds([each.mean_accuracy for each in common])
    images = images_text(_num_images(common), is_all=all(each.num_images == num_test for each in common))
    sentences = [scores_sentence(images, _text(accuracies[0]), _text(means), counted_as=counted_as)]
    if balanced:
        means = _over_seeds([each.mean_balanced_accuracy for each in common if each.mean_balanced_accuracy is not None])
        sentences.append(balanced_sentence(_text(balanced[0]), _text(means), is_drawn=mean.has_other_balanced))
    sentences.append(_of_which(len(common), num_seeds))
    if any(len(each.rows) > len(mean.rows) for each in measured):
        sentences.append(ONLY_COMMON)
    rows = [
        ScoreRow(row.corruption, f"{row.strength:g}", _text(accuracy), _text(own))
        for row, accuracy, own in zip(mean.rows, accuracies[1:], balanced[1:], strict=False)
        if mean.has_other_balanced
    ]
    return RobustnessSection(" ".join(sentences), draw_robustness(curves), rows)


def _over_seeds(values: Sequence[float]) -> Aggregate:
    return aggregate(values).within(0, 1)


def _bounds(figure: Aggregate) -> Interval | None:
    return None if figure.low is None or figure.high is None else (figure.low, figure.high)


def _text(figure: Aggregate) -> str:
    return share(figure.mean) + ("" if figure.std is None else f" \u00b1 {100 * figure.std:.1f}")


def _num_images(measured: Sequence[Robustness]) -> str:
    """How many there are: a seed that was evaluated again may have more."""
    least, most = (choose(each.num_images for each in measured) for choose in (min, max))
    return f"{least:,}" if least == most else f"{least:,} to {most:,}"


def _of_which(num_measured: int, num_seeds: int) -> str:
    """Which seeds all this is of."""
    if num_measured == 1:
        return "Of a single seed." if num_seeds == 1 else f"Of one of {num_seeds} seeds, the only one that measured it."
    seeds = f"{num_seeds} seeds"
    if num_measured < num_seeds:
        seeds = f"{num_measured} of {num_seeds} seeds, those that measured it"
    return (
        f"Means over {seeds}, \u00b1 their deviation from seed to seed; bands in the charts: "
        f"{per_cent(CONFIDENCE_LEVEL)} intervals of the mean, of other seeds."
    )
