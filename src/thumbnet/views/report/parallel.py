"""Parallel coordinates as SVG text: an upright axis for each value of a trial, and a line across for each trial."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from markupsafe import Markup

HEIGHT, TOP, BOTTOM, SIDE = 310.0, 50.0, 20.0, 70.0
GAP = 130.0  # between two axes
MAX_TICK = 16  # characters
LETTER = 7.2  # the width of a character, roughly
ABOVE, BELOW = 10.0, 3.0  # a text's baseline
BESIDE = 5.0  # an axis
CLEAR = 4.0  # of the middle of the best trial's line
SHIFTS = (0.0, 10.0, -11.0)  # of a tick's text: off a line that runs through the tick
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


@dataclass(frozen=True)
class _Box:
    """Where a text is."""

    left: float
    right: float
    top: float
    bottom: float

    def meets(self, other: _Box) -> bool:
        is_beside = self.left >= other.right or other.left >= self.right
        return not is_beside and self.top < other.bottom and other.top < self.bottom

    def is_crossed_by(self, line: Sequence[tuple[float, float]]) -> bool:
        """Whether a line from left to right, given by its corners, runs through it or along it."""
        for (x1, y1), (x2, y2) in itertools.pairwise(line):
            first, last = max(self.left, x1), min(self.right, x2)
            ys = [y1 + (x - x1) / (x2 - x1) * (y2 - y1) for x in (first, last)]
            if first < last and min(ys) < self.bottom + CLEAR and max(ys) > self.top - CLEAR:
                return True
        return False


@dataclass(frozen=True)
class _Text:
    """Where a tick's text may stand: from `x` on, or before it where it is on the left of its axis."""

    x: float
    y: float
    is_left: bool
    box: _Box


def draw_parallel(axes: Sequence[Axis], lines: Sequence[TrialLine], *, description: str) -> Parallel:
    """The drawing of these trials; the best one comes last, above the others, and runs through no tick's text.
    `description` is read aloud."""
    width = 2 * SIDE + GAP * (len(axes) - 1)
    xs = [SIDE + GAP * index for index in range(len(axes))]
    box = Markup('<svg viewBox="0 0 {:g} {:g}" role="img" aria-label="{}">').format(width, HEIGHT, description)
    parts = [box]
    best: list[tuple[float, float]] = []
    for line in sorted(lines, key=lambda each: ("pruned", "finished", "best").index(each.kind)):
        corners = [(x, _down(place)) for x, place in zip(xs, line.places, strict=True)]
        best = corners if line.kind == "best" else best
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in corners)
        shape = Markup('<polyline class="trial trial-{}" points="{}"><title>{}</title></polyline>')
        parts.append(shape.format(line.kind, points, line.title))
    taken: list[_Box] = []
    for index, (x, axis) in enumerate(zip(xs, axes, strict=True)):
        parts.append(
            Markup('<line class="axis" x1="{0:g}" x2="{0:g}" y1="{1:g}" y2="{2:g}"/>').format(x, TOP, HEIGHT - BOTTOM)
        )
        name = Markup('<text class="tick middle name" x="{:g}" y="{:g}">{}<title>{}</title></text>')
        row = TOP - 12 - 20 * (index % 2)  # two rows, so that long names do not meet
        shown = _short(axis.label, 2 * MAX_TICK)
        parts.append(name.format(x, row, shown, axis.label))
        taken.append(_box(x - LETTER * len(shown) / 2, row, shown))
    for x, axis in zip(xs, axes, strict=True):
        for at, text in axis.ticks:
            placed = _placed(x, _down(at), _short(text), best, taken)
            taken.append(placed.box)
            parts.append(_tick(placed, text, has_plate=placed.box.is_crossed_by(best)))
    return Parallel(Markup("").join([*parts, Markup("</svg>")]), width)


def _placed(x: float, y: float, text: str, best: Sequence[tuple[float, float]], taken: Sequence[_Box]) -> _Text:
    """Where a tick's text stands: off the best trial's line and the other texts, if there is such a place."""
    places = list(_places(x, y, text))
    for each in places:
        if each.box.left >= 0 and not each.box.is_crossed_by(best) and not any(map(each.box.meets, taken)):
            return each
    return places[0]


def _places(x: float, y: float, text: str) -> Iterator[_Text]:
    """Where the text of a tick at this place may stand, the usual place first."""
    for is_left in (False, True):
        for shift in SHIFTS:
            baseline = y + 4 + shift
            beside = x - BESIDE if is_left else x + BESIDE
            left = beside - LETTER * len(text) if is_left else beside
            yield _Text(beside, baseline, is_left, _box(left, baseline, text))


def _box(left: float, baseline: float, text: str) -> _Box:
    return _Box(left, left + LETTER * len(text), baseline - ABOVE, baseline + BELOW)


def _tick(placed: _Text, text: str, *, has_plate: bool) -> Markup:
    """A tick's text; on a plate where the best trial's line has no other way."""
    tick = Markup('<text class="tick mark-text{}" x="{:g}" y="{:.1f}">{}<title>{}</title></text>')
    drawn = tick.format(" end" if placed.is_left else "", placed.x, placed.y, _short(text), text)
    if not has_plate:
        return drawn
    box = placed.box
    plate = Markup('<rect class="plate" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"/>')
    return plate.format(box.left, box.top, box.right - box.left, box.bottom - box.top) + drawn


def _down(place: float) -> float:
    return HEIGHT - BOTTOM - place * (HEIGHT - TOP - BOTTOM)


def _short(text: str, most: int = MAX_TICK) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"
