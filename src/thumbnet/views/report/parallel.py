"""Parallel coordinates as SVG text: an upright axis for each value of a trial, and a line across for each trial."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from markupsafe import Markup

HEIGHT, TOP, BOTTOM, SIDE = 310.0, 50.0, 16.0, 70.0
GAP = 130.0  # between two axes
MAX_TICK = 16  # characters
Kind = Literal["finished", "pruned", "best"]


@dataclass(frozen=True)
class Axis:
    """`ticks` are texts at places from 0, the foot, to 1."""

    label: str
    ticks: Sequence[tuple[float, str]]


@dataclass(frozen=True)
class TrialLine:
    """A trial: its place on each axis, from 0 to 1, and what is told where one points at it."""

    places: Sequence[float]
    kind: Kind
    title: str


@dataclass(frozen=True)
class Parallel:
    """The drawing, whose width in its own units is `width`."""

    svg: Markup
    width: float


def draw_parallel(axes: Sequence[Axis], lines: Sequence[TrialLine], *, description: str) -> Parallel:
    """The drawing of these trials; the best one comes last, above the others. `description` is read aloud."""
    width = 2 * SIDE + GAP * (len(axes) - 1)
    xs = [SIDE + GAP * index for index in range(len(axes))]
    box = Markup('<svg viewBox="0 0 {:g} {:g}" role="img" aria-label="{}">').format(width, HEIGHT, description)
    parts = [box]
    for line in sorted(lines, key=lambda each: ("pruned", "finished", "best").index(each.kind)):
        points = " ".join(f"{x:.1f},{_down(place):.1f}" for x, place in zip(xs, line.places, strict=True))
        shape = Markup('<polyline class="trial trial-{}" points="{}"><title>{}</title></polyline>')
        parts.append(shape.format(line.kind, points, line.title))
    for index, (x, axis) in enumerate(zip(xs, axes, strict=True)):
        parts.append(
            Markup('<line class="axis" x1="{0:g}" x2="{0:g}" y1="{1:g}" y2="{2:g}"/>').format(x, TOP, HEIGHT - BOTTOM)
        )
        name = Markup('<text class="tick middle name" x="{:g}" y="{:g}">{}<title>{}</title></text>')
        row = TOP - 12 - 20 * (index % 2)  # two rows, so that long names do not meet
        parts.append(name.format(x, row, _short(axis.label, 2 * MAX_TICK), axis.label))
        tick = Markup('<text class="tick mark-text" x="{:g}" y="{:.1f}">{}<title>{}</title></text>')
        parts += [tick.format(x + 5, _down(at) + 4, _short(text), text) for at, text in axis.ticks]
    return Parallel(Markup("").join([*parts, Markup("</svg>")]), width)


def _down(place: float) -> float:
    return HEIGHT - BOTTOM - place * (HEIGHT - TOP - BOTTOM)


def _short(text: str, most: int = MAX_TICK) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"
