"""The page of a sweep: its trials beside each other, what mattered, and what the best accuracy costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import thumbnet
from thumbnet.views.house import house_style
from thumbnet.views.numbers import exact_share, per_cent, plain
from thumbnet.views.report.charts import Chart, Line, draw_lines
from thumbnet.views.report.content import Headline
from thumbnet.views.report.page import asset, template
from thumbnet.views.report.parallel import Axis, TrialLine, draw_parallel
from thumbnet.views.report.section_charts import FRACTION

SHORT_MINUTES = 2.0  # below, seconds are told


@dataclass(frozen=True)
class SweepRow:
    """A line of the table of trials, as texts with the numbers that it is sorted by: `values` are the searched ones."""

    number: int
    state: str
    accuracy: tuple[float, str]
    values: Sequence[tuple[float | str, str]]
    macs: tuple[float, str]
    params: tuple[float, str]
    seconds: tuple[float, str]
    reason: str


@dataclass(frozen=True)
class SweepPoint:
    """A trial that was trained: when it ended, in minutes from the sweep's start on, its accuracy and its MACs."""

    minutes: float
    accuracy: float
    macs: int
    is_finished: bool


@dataclass(frozen=True)
class SweepContent:
    """All that the page shows. `importance` is the share of the accuracy's variance that each field explains."""

    title: str
    lead: str
    measure: str
    headlines: Sequence[Headline]
    best: Sequence[tuple[str, str]]
    command: str
    axes: Sequence[Axis]
    lines: Sequence[TrialLine]
    importance: Sequence[tuple[str, float]]
    points: Sequence[SweepPoint]
    fields: Sequence[tuple[str, str]]
    rows: Sequence[SweepRow]
    notes: Sequence[str]


def render_sweep(content: SweepContent) -> str:
    """The page, as HTML text."""
    trained = [point for point in content.points if point.is_finished]
    drawn = None
    if content.lines:
        description = (
            f"Parallel coordinates of {len(content.lines)} trials over "
            f"{', '.join(axis.label for axis in content.axes)}; the table of all trials has their values."
        )
        drawn = draw_parallel(content.axes, content.lines, description=description)
    return template("sweep.html.jinja").render(
        content=content,
        style=house_style() + asset("page.css") + asset("sweep.css"),
        script=asset("page.js"),
        parallel=drawn,
        over_time=_over_time(trained) if trained else None,
        front=_front_chart(trained),
        million_macs=plain(min((point.macs for point in trained), default=0) / 1e6),
        has_pruned=any(line.kind == "pruned" for line in content.lines),
        has_reasons=any(row.reason for row in content.rows),
        exact_share=exact_share,
        version=thumbnet.__version__,
    )


def _over_time(points: Sequence[SweepPoint]) -> Chart:
    """Each finished trial at its end, and the best accuracy so far."""
    points = sorted(points, key=lambda point: point.minutes)
    in_seconds = points[-1].minutes < SHORT_MINUTES
    times = [point.minutes * (60 if in_seconds else 1) for point in points]
    accuracies = [point.accuracy for point in points]
    best = [max(accuracies[: index + 1]) for index in range(len(points))]
    return draw_lines(
        "Accuracy against time",
        [Line("finished trial", times, accuracies, is_joined=False), Line("best so far", times, best, 1)],
        x_label="seconds" if in_seconds else "minutes",
        y_format=per_cent,
        y_limits=FRACTION,
    )


def _front_chart(points: Sequence[SweepPoint]) -> Chart | None:
    """Each finished trial at its MACs, and those that none beats with as few; None where all would be one column."""
    if len({point.macs for point in points}) < 2:
        return None
    front = pareto_front(points)
    return draw_lines(
        "Accuracy against MACs",
        [
            Line("finished trial", _millions(points), [point.accuracy for point in points], is_joined=False),
            Line("front: none is better with as few", _millions(front), [point.accuracy for point in front], 1),
        ],
        x_label="million MACs",
        y_format=per_cent,
        y_limits=FRACTION,
    )


def pareto_front(points: Sequence[SweepPoint]) -> list[SweepPoint]:
    """The points that no other one with at most as many MACs equals or beats, by their MACs."""
    front: list[SweepPoint] = []
    for point in sorted(points, key=lambda each: (each.macs, -each.accuracy)):
        if not front or point.accuracy > front[-1].accuracy:
            front.append(point)
    return front


def _millions(points: Sequence[SweepPoint]) -> list[float]:
    return [point.macs / 1e6 for point in points]
