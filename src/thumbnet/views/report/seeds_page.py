"""The report of one recipe with several seeds: what the seeds have in common, and how far they differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64

import thumbnet
from thumbnet.evaluation.aggregate import Aggregate
from thumbnet.evaluation.class_aggregates import ClassAggregates
from thumbnet.training.history import History
from thumbnet.views.house import house_style
from thumbnet.views.numbers import Format, per_cent, plain, share
from thumbnet.views.report.charts import Chart, Line, draw_lines
from thumbnet.views.report.content import Headline
from thumbnet.views.report.page import MAX_TABLE_CLASSES, asset, heats, template
from thumbnet.views.report.section_charts import FRACTION, POSITIVE

NO_BREAK = "\u00a0"
SPLITS = {"train": "training", "val": "validation", "test": "test"}


@dataclass(frozen=True)
class SeedRow:
    """A seed's figures as texts, its training's time, and its report, empty where it has none."""

    seed: int
    report: str
    figures: Sequence[str]
    training: str


@dataclass(frozen=True)
class OftenWrong:
    """An image, its class, the class that most of the wrong seeds predict, and how many are wrong."""

    name: str
    truth: str
    prediction: str
    num_wrong: int


@dataclass(frozen=True)
class SeedsContent:
    """All that the report shows: `figures` are the headings of the seeds' figures, `summary` the mean and the deviation
    of each, and `confusion` int64 [K,K], truth by row, is summed over the seeds."""

    title: str
    lead: str
    headlines: Sequence[Headline]
    figures: Sequence[str]
    seeds: Sequence[SeedRow]
    summary: Sequence[tuple[str, str]]
    histories: Sequence[History]
    classes: Sequence[ClassAggregates]
    class_names: Sequence[str]
    confusion: Int64[np.ndarray, "k k"]
    often_wrong: Sequence[OftenWrong]
    num_images: int


def render_seeds_report(content: SeedsContent) -> str:
    """The page, as HTML text."""
    return template("seeds.html.jinja").render(
        content=content,
        style=house_style() + asset("page.css"),
        script=asset("page.js"),
        curves=_draw_curves(content.histories),
        has_table=len(content.class_names) <= MAX_TABLE_CLASSES,
        matrix=content.confusion.tolist(),
        heats=heats(content.confusion),
        mean_text=_mean_text,
        version=thumbnet.__version__,
    )


def _mean_text(figure: Aggregate | None) -> str:
    if figure is None:
        return "-"
    mean = share(figure.mean).replace(" ", NO_BREAK)
    return mean + ("" if figure.std is None else f" ±{NO_BREAK}{100 * figure.std:.1f}")


def _draw_curves(histories: Sequence[History]) -> list[Chart]:
    """Each split's accuracy and loss by epoch, where it was scored."""
    charts = []
    for split, title in SPLITS.items():
        for column, y_format, limits in (("accuracy", per_cent, FRACTION), ("loss", plain, POSITIVE)):
            chart = _draw_curve(f"{title} {column}".capitalize(), histories, f"{split}_{column}", y_format, limits)
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
    return draw_lines(
        title,
        lines,
        x_label="epoch",
        y_format=y_format,
        y_limits=limits,
        x_integer=True,
        leaves_out_outliers=y_format is plain,
    )
