"""Parallel coordinates: the best trial's line runs through no tick's text, and no text through another."""

from __future__ import annotations

import html
import itertools
import random
import re
from collections.abc import Sequence

import pytest

from thumbnet.views.report.parallel import Axis, TrialLine, draw_parallel

TICK = re.compile(r'<text class="tick mark-text( end)?" x="([\d.]+)" y="([\d.]+)">([^<]*)<')
PLATE = re.compile(r'<rect class="plate" x="([\d.]+)" y="([\d.]+)" width="([\d.]+)" height="([\d.]+)"/>')
BEST = re.compile(r'<polyline class="trial trial-best" points="([^"]+)"')
LETTER, HEIGHT = 6.0, 9.0  # of a text, about
Box = tuple[float, float, float, float]  # left, right, top, bottom

NUMBERS = [(0.0, "0.02"), (1.0, "0.5")]
CHOICES = [(index / 7, f"b32 b{index} p") for index in range(8)]
LONG = [(0.0, "b32 b48p b96x2 and more"), (0.5, "<c32p>"), (1.0, "b32 b48p")]
AXES = [Axis(f"field_{index}", ticks) for index, ticks in enumerate((NUMBERS, CHOICES, LONG, NUMBERS))]
AXES.append(Axis("accuracy", [(0.0, "87.5 %"), (1.0, "98.25 %")]))


def drawn(places: Sequence[float], axes: Sequence[Axis] = AXES) -> str:
    others = [TrialLine([0.5] * len(axes), "finished", "another")]
    return draw_parallel(axes, [TrialLine(places, "best", "the best"), *others], description="trials").svg


def texts_in(svg: str) -> list[Box]:
    boxes = []
    for end, x, y, text in TICK.findall(svg):
        width = LETTER * len(html.unescape(text))
        left = float(x) - width * bool(end)
        boxes.append((left, left + width, float(y) - HEIGHT, float(y)))
    return boxes


def is_crossed(box: Box, svg: str) -> bool:
    """Whether the best trial's line comes into the box."""
    (found,) = BEST.findall(svg)
    corners = [tuple(map(float, each.split(","))) for each in found.split()]
    left, right, top, bottom = box
    for (x1, y1), (x2, y2) in itertools.pairwise(corners):
        for step in range(201):
            x, y = x1 + step / 200 * (x2 - x1), y1 + step / 200 * (y2 - y1)
            if left <= x <= right and top <= y <= bottom:
                return True
    return False


def is_on_a_plate(box: Box, svg: str) -> bool:
    return any(
        x <= box[0] and box[1] <= x + width and y <= box[2] and box[3] <= y + height
        for x, y, width, height in (tuple(map(float, each)) for each in PLATE.findall(svg))
    )


@pytest.mark.parametrize("place", [0.0, 0.5, 1.0])
def test_a_level_line_has_the_texts_beside_it(place: float) -> None:
    svg = drawn([place] * len(AXES))
    assert not [box for box in texts_in(svg) if is_crossed(box, svg)]
    assert not PLATE.findall(svg)


def test_no_line_runs_through_a_text_that_has_no_plate() -> None:
    generator, num_plates = random.Random(0), 0
    num_texts = sum(len(axis.ticks) for axis in AXES)
    for _ in range(200):
        svg = drawn([generator.choice((0.0, 1 / 7, 0.5, 1.0, generator.random())) for _ in AXES])
        boxes = texts_in(svg)
        assert len(boxes) == num_texts
        assert all(left >= 0 for left, *_ in boxes)
        for box in boxes:
            assert is_on_a_plate(box, svg) or not is_crossed(box, svg), svg
        num_plates += len(PLATE.findall(svg))
        for index, (left, right, top, bottom) in enumerate(boxes):
            for other in boxes[:index]:
                assert right <= other[0] or other[1] <= left or bottom <= other[2] or other[3] <= top, svg
    assert num_plates < 200 * num_texts / 10  # the last resort, for lines that are steep


def test_texts_are_beside_their_ticks_where_nothing_is_in_the_way() -> None:
    svg = draw_parallel(AXES, [], description="no trial").svg
    assert not any(end for end, *_ in TICK.findall(svg))
    assert [float(y) for _, _, y, _ in TICK.findall(svg)][:2] == [294.0, 54.0]
