"""Line charts as SVG text in the report's colours, with what a reader may hover over, and their values as a table.

Positions are in the units of the SVG's own box of WIDTH by HEIGHT. Colours and dashes are classes of the style sheet,
so that a chart follows the reader's colour scheme.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup
from matplotlib.ticker import MaxNLocator

from thumbnet.views.numbers import Format, bounds_text, column, plain, tick_texts
from thumbnet.views.outliers import describe_outliers, highest_shown

WIDTH, HEIGHT = 420.0, 260.0
LEFT, RIGHT, TOP, BOTTOM = 48.0, 12.0, 12.0, 48.0
NUM_STYLES = 4  # line-0, line-1, ... of the style sheet
MAX_DOTS = 40  # points of a line; above it dots would merge
ROUND_STEPS = (1, 2, 5, 10)


@dataclass(frozen=True)
class Line:
    """A labelled line through the points whose y is not None, or these alone; `style` picks colour and dashes, `bounds`
    are the lowest and highest y of each point, by its interval, None of those that have none. Several points without a
    line may have one x."""

    label: str
    xs: Sequence[float]
    ys: Sequence[float | None]
    style: int = 0
    bounds: Sequence[tuple[float, float] | None] = ()
    is_joined: bool = True

    def __post_init__(self) -> None:
        assert len(self.xs) == len(self.ys)
        assert len(self.bounds) in (0, len(self.xs))
        assert 0 <= self.style < NUM_STYLES

    @property
    def points(self) -> list[tuple[float, float]]:
        return [(x, y) for x, y in zip(self.xs, self.ys, strict=True) if y is not None]

    @property
    def band(self) -> list[tuple[float, float, float]]:
        """Of each point with an interval its x, its lowest and its highest y."""
        known = zip(self.xs, self.bounds, strict=True) if self.bounds else ()
        return [(x, *bounds) for x, bounds in known if bounds is not None]


@dataclass(frozen=True)
class Stop:
    """A place where a reader may hover: its position in the chart, what x is there, and the value of each line."""

    position: float
    x: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class Chart:
    """A drawn chart: `svg` is safe to put into a page; labels, styles and whether their points are joined are the
    lines', the stops their values, and `note` says which values lie beyond an axis."""

    title: str
    x_label: str
    svg: Markup
    labels: tuple[str, ...]
    styles: tuple[int, ...]
    joined: tuple[bool, ...]
    stops: tuple[Stop, ...]
    note: str = ""

    def hover_values(self) -> dict[str, Any]:
        """What the page's script needs to show the values under the pointer."""
        stops = [[stop.position, stop.x, *stop.values] for stop in self.stops]
        return {"width": WIDTH, "x_label": self.x_label, "labels": self.labels, "stops": stops}


def draw_lines(
    title: str,
    lines: Sequence[Line],
    *,
    x_label: str,
    y_format: Format = plain,
    x_format: Format = plain,
    x_range: tuple[float, float] | None = None,
    y_range: tuple[float, float] | None = None,
    y_limits: tuple[float, float] = (-math.inf, math.inf),
    diagonal: bool = False,
    x_integer: bool = False,
    leaves_out_outliers: bool = False,
    mark: tuple[float, float] | None = None,
) -> Chart:
    """Draw lines over common axes, whose ranges are those of the points where not given.

    `y_limits` are values that y cannot pass, and its axis therefore does not.
    `diagonal` draws x = y, thin: what a perfectly calibrated model would have, for instance.
    `x_integer`: x are whole numbers, such as epochs, and so are its ticks.
    `leaves_out_outliers`: the axis ends below the few values that would flatten all others. They are drawn at its edge
    as triangles and named in the chart's note.
    `mark` is a point that a ring marks.
    """
    points = [point for line in lines for point in line.points]
    assert points
    top = highest_shown([y for _, y in points]) if leaves_out_outliers else None
    x_low, x_high = x_range or (_whole_range if x_integer else _range)([x for x, _ in points])
    ys = [y for _, y in points] + [y for line in lines for _, *bounds in line.band for y in bounds]
    y_low, y_high = y_range or _range([y for y in ys if top is None or y <= top], y_limits)

    def across(x: float) -> float:
        return LEFT + (x - x_low) / (x_high - x_low) * (WIDTH - LEFT - RIGHT)

    def down(y: float) -> float:
        return HEIGHT - BOTTOM - (y - y_low) / (y_high - y_low) * (HEIGHT - TOP - BOTTOM)

    parts = [Markup('<svg viewBox="0 0 {:g} {:g}" aria-hidden="true" focusable="false">').format(WIDTH, HEIGHT)]
    y_ticks, x_ticks = _ticks(y_low, y_high), _ticks(x_low, x_high, integer=x_integer)
    for y, text in zip(y_ticks, tick_texts(y_ticks, y_format), strict=True):
        at = down(y)
        parts.append(_line("grid", LEFT, at, WIDTH - RIGHT, at))
        parts.append(_text("tick end", LEFT - 6, at + 4, text))
    parts += [
        _text("tick below", across(x), HEIGHT - BOTTOM + 16, text)
        for x, text in zip(x_ticks, tick_texts(x_ticks, x_format), strict=True)
    ]
    parts.append(_text("tick middle", (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 6, x_label))
    if diagonal:
        low, high = max(x_low, y_low), min(x_high, y_high)
        parts.append(_line("diagonal", across(low), down(low), across(high), down(high)))
    for line in lines:
        if line.band:
            around = [(x, high) for x, _, high in line.band] + [(x, low) for x, low, _ in reversed(line.band)]
            corners = " ".join(f"{across(x):.1f},{down(y):.1f}" for x, y in around)
            parts.append(Markup('<polygon class="band band-{}" points="{}"/>').format(line.style, corners))
    for line in lines:
        drawn = [(across(x), down(min(y, y_high))) for x, y in line.points]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in drawn)
        if line.is_joined:
            parts.append(Markup('<polyline class="line line-{}" points="{}"/>').format(line.style, path))
        if len(drawn) <= MAX_DOTS or not line.is_joined:
            dot = Markup('<circle class="dot dot-{}" cx="{:.1f}" cy="{:.1f}" r="2.6"/>')
            is_inside = [y <= y_high for _, y in line.points]
            parts += [dot.format(line.style, x, y) for (x, y), shown in zip(drawn, is_inside, strict=True) if shown]
        outside = Markup('<path class="dot dot-{}" d="M{:.1f},{:.1f}l-5,9h10z"/>')
        parts += [outside.format(line.style, across(x), TOP) for x, y in line.points if y > y_high]
    if mark is not None:
        ring = Markup('<circle class="mark" cx="{:.1f}" cy="{:.1f}" r="8"/>')
        parts.append(ring.format(across(mark[0]), down(mark[1])))
    bottom = HEIGHT - BOTTOM
    parts.append(Markup('<line class="cursor" x1="0" x2="0" y1="{:g}" y2="{:g}"/></svg>').format(TOP, bottom))
    xs = sorted({x for x, _ in points})
    columns = [_column_at(line, xs, y_format) for line in lines]
    stops = tuple(
        Stop(round(across(x), 1), shown, values)
        for x, shown, values in zip(xs, column(xs, x_format), zip(*columns, strict=True), strict=True)
    )
    labels, styles = tuple(line.label for line in lines), tuple(line.style for line in lines)
    outliers = [
        (y_format(y), f"{line.label}, {x_label} {x_format(x)}") for line in lines for x, y in line.points if y > y_high
    ]
    note = describe_outliers(outliers) if outliers else ""
    joined = tuple(line.is_joined for line in lines)
    return Chart(title, x_label, Markup("").join(parts), labels, styles, joined, stops, note)


def _column_at(line: Line, xs: Sequence[float], y_format: Format) -> list[str]:
    """The line's values at these x, as texts: empty where it has none."""
    shown = column([y for _, y in line.points], y_format)
    bounds_at = {x: f" ({bounds_text((low, high))})" for x, low, high in line.band}
    values_at: dict[float, list[tuple[float, str]]] = {}
    for (x, y), text in zip(line.points, shown, strict=True):
        values_at.setdefault(x, []).append((y, text))
    return [_values_text(values_at.get(x, [])) + bounds_at.get(x, "") for x in xs]


def _values_text(values: Sequence[tuple[float, str]]) -> str:
    """The text of a value, or of the least and the greatest of several; empty for none."""
    texts = list(dict.fromkeys(text for _, text in sorted(values)))
    return " to ".join(texts if len(texts) < 2 else (texts[0], texts[-1]))


def _range(values: Sequence[float], limits: tuple[float, float] = (-math.inf, math.inf)) -> tuple[float, float]:
    """From the least to the greatest value with some room, so that no line runs along the frame, within the limits."""
    low, high = min(values), max(values)
    room = 0.05 * (high - low) or max(0.5, abs(low) * 0.1)
    return max(low - room, limits[0]), min(high + room, limits[1])


def _whole_range(values: Sequence[float]) -> tuple[float, float]:
    """The same for whole numbers: half a step of room at least, so that a single one has an axis of its own."""
    low, high = min(values), max(values)
    room = max(0.5, 0.02 * (high - low))
    return low - room, high + room


def _ticks(low: float, high: float, *, integer: bool = False) -> list[float]:
    values = MaxNLocator(nbins=6, steps=ROUND_STEPS, integer=integer, min_n_ticks=1).tick_values(low, high)
    return [float(value) for value in values if low <= value <= high]


def _line(name: str, x1: float, y1: float, x2: float, y2: float) -> Markup:
    text = Markup('<line class="{}" x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}"/>')
    return text.format(name, x1, y1, x2, y2)


def _text(name: str, x: float, y: float, words: str) -> Markup:
    return Markup('<text class="{}" x="{:.1f}" y="{:.1f}">{}</text>').format(name, x, y, words)
