"""Accuracy under corruptions of several models in one: of the folds of a training, or of several seeds."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import replace

from thumbnet.evaluation.intervals import Interval, interval_of_mean
from thumbnet.evaluation.robustness import CorruptedAccuracy, Robustness


def with_common_rows(measured: Sequence[Robustness]) -> tuple[Robustness, ...]:
    """The same, with the corruptions and strengths alone that all have, in the order of the first; empty where they
    have none in common. Of a mean over fewer rows than were measured, no interval is known."""
    tables = [{(row.corruption, row.strength, row.unit): row for row in each.rows} for each in measured]
    kept = [name for name in tables[0] if all(name in table for table in tables)] if tables else []
    if not kept:
        return ()
    return tuple(
        replace(
            each,
            rows=tuple(table[name] for name in kept),
            mean_interval=each.mean_interval if len(kept) == len(each.rows) else None,
            mean_balanced_interval=each.mean_balanced_interval if len(kept) == len(each.rows) else None,
        )
        for each, table in zip(measured, tables, strict=True)
    )


def pooled_over_images(measured: Sequence[Robustness]) -> Robustness:
    """One of models that were measured on different images, each counting by their number; their rows are the same."""
    weights = [float(each.num_images) for each in measured]

    def pooled(shares: Sequence[float], intervals: Sequence[Interval]) -> Interval:
        return interval_of_mean(shares, intervals, weights)

    return _mean(measured, num_images=sum(each.num_images for each in measured), weights=weights, interval_of=pooled)


def mean_over_seeds(measured: Sequence[Robustness]) -> Robustness:
    """One of models that were measured on the same images, each counting alike; their rows are the same. Intervals are
    those that other images would give: the means of their bounds."""

    def of_one(shares: Sequence[float], intervals: Sequence[Interval]) -> Interval:
        return statistics.fmean(low for low, _ in intervals), statistics.fmean(high for _, high in intervals)

    num_images = min(each.num_images for each in measured)
    return _mean(measured, num_images=num_images, weights=[1.0] * len(measured), interval_of=of_one)


def _mean(
    measured: Sequence[Robustness],
    *,
    num_images: int,
    weights: Sequence[float],
    interval_of: Callable[[Sequence[float], Sequence[Interval]], Interval],
) -> Robustness:
    """The weighted means of all scores, with the intervals that `interval_of` makes of theirs."""

    def mean(shares: Sequence[float | None]) -> float | None:
        known = [share for share in shares if share is not None]
        return statistics.fmean(known, weights) if len(known) == len(shares) else None

    def interval(scores: Sequence[tuple[float | None, Interval | None]]) -> Interval | None:
        known = [(share, bounds) for share, bounds in scores if share is not None and bounds is not None]
        if len(known) < len(scores):
            return None
        return interval_of([share for share, _ in known], [bounds for _, bounds in known])

    rows: list[CorruptedAccuracy] = []
    for own in zip(*(each.rows for each in measured), strict=True):
        row = replace(
            own[0],
            accuracy=statistics.fmean([each.accuracy for each in own], weights),
            balanced_accuracy=mean([each.balanced_accuracy for each in own]),
            balanced_accuracy_interval=interval(
                [(each.balanced_accuracy, each.balanced_accuracy_interval) for each in own]
            ),
        )
        rows.append(row)
    return Robustness(
        num_images,
        measured[0].seed,
        statistics.fmean([each.accuracy for each in measured], weights),
        tuple(rows),
        interval([(each.mean_accuracy, each.mean_interval) for each in measured]),
        mean([each.balanced_accuracy for each in measured]),
        interval([(each.balanced_accuracy, each.balanced_accuracy_interval) for each in measured]),
        interval([(each.mean_balanced_accuracy, each.mean_balanced_interval) for each in measured]),
    )
