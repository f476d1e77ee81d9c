"""The training curves of several runs in one: their mean, and how far they differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from thumbnet.training.history import History
from thumbnet.views.numbers import Format, per_cent, plain
from thumbnet.views.report.charts import Chart, Line, draw_lines
from thumbnet.views.report.section_charts import FRACTION, POSITIVE, SPLITS, has_other_balanced


def draw_spread(histories: Sequence[History]) -> list[Chart]:
    """Each split's accuracy and loss by epoch, where it was scored; balanced accuracy, too, if it is another number."""
    charts = []
    accuracies = ("accuracy", "balanced_accuracy") if has_other_balanced(histories) else ("accuracy",)
    kinds = [*((column, per_cent, FRACTION) for column in accuracies), ("loss", plain, POSITIVE)]
    for split, name in SPLITS.items():
        for column, y_format, limits in kinds:
            title = f"{name} {column.replace('_', ' ')}".capitalize()
            chart = _draw_curve(title, histories, f"{split}_{column}", y_format, limits)
            charts += [] if chart is None else [chart]
    return charts


def _draw_curve(
    title: str, histories: Sequence[History], column: str, y_format: Format, limits: tuple[float, float]
) -> Chart | None:
    """A column's mean over the seeds with the lowest and the highest of each epoch; None where nothing was scored."""
    by_epoch: dict[int, list[float]] = {}
    for history in histories:
        for record in history:
            value = getattr(record, column)
            if value is not None:
                by_epoch.setdefault(record.epoch, []).append(value)
    if not by_epoch:
        return None
    epochs = sorted(by_epoch)
    values = [by_epoch[epoch] for epoch in epochs]
    lines = [Line("mean", epochs, [sum(each) / len(each) for each in values])]
    if len(histories) > 1:
        lines += [Line("highest", epochs, list(map(max, values)), 1), Line("lowest", epochs, list(map(min, values)), 2)]
    chart = draw_lines(
        title,
        lines,
        x_label="epoch",
        y_format=y_format,
        y_limits=limits,
        x_integer=True,
        leaves_out_outliers=y_format is plain,
    )
    of_fewer = [epoch for epoch in epochs if len(by_epoch[epoch]) < len(histories)]
    if not of_fewer:
        return chart
    which = f"not all {len(histories)} trainings have a value: mean, highest and lowest are of those that have"
    note = f"From epoch {of_fewer[0]} on, {which}."
    return replace(chart, note=f"{chart.note} {note}".strip())
