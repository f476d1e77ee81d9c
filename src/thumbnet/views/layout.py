"""The layout of a network graph: positions of boxes and edges in pixels, x to the right and y downwards.

Every block has a row: one below the last of its inputs. The longest path is the main chain and runs straight down; what
branches off runs beside it in lanes, the shortest branch nearest. Edges leave downwards, change lanes only in the gaps
between rows, and enter from above or from the right, so that none crosses a box. A long chain continues in a next
column, broken where nothing runs beside it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, TypeAlias

GAP = 32.0  # between rows
STUB = 13.0  # from a box to the first bend below or above it
LEVEL = 12.0  # between edges that change lanes in the same gap
TRACK = 14.0  # width of a lane that holds only an edge
LANE_GAP = 16.0
GUTTER = 56.0  # between columns

# A block's place on the rows: (block, row); on a row below its own it is the block's edge passing by.
Cell: TypeAlias = tuple[int, int]
Point: TypeAlias = tuple[float, float]
Step: TypeAlias = Literal["straight", "out", "in", "side"]


@dataclass(frozen=True)
class Size:
    """The room that a block needs, and the width of its shape in the middle, where edges end."""

    width: float
    height: float
    shape_width: float


@dataclass(frozen=True)
class Box:
    """A placed block: its room, with the shape in the middle."""

    left: float
    top: float
    width: float
    height: float

    @property
    def middle(self) -> Point:
        return self.left + self.width / 2, self.top + self.height / 2


@dataclass(frozen=True)
class Edge:
    """A line with corners at `points` from block to block; `is_skip` unless it is part of the main chain."""

    source: int
    target: int
    points: tuple[Point, ...]
    is_skip: bool


@dataclass(frozen=True)
class Layout:
    """A box for each block in order, and an edge for each input, within width x height."""

    boxes: tuple[Box, ...]
    edges: tuple[Edge, ...]
    width: float
    height: float


def place_blocks(inputs: Sequence[tuple[int, ...]], sizes: Sequence[Size], *, max_height: float) -> Layout:
    """Lay out blocks that are given by their inputs (indices of earlier blocks) and the room that each needs.

    Columns are at most about `max_height` high, unless branches leave no place to break the chain.
    """
    graph = _Graph(inputs, sizes)
    xs = graph.lane_positions()
    steps = {path: graph.steps(path, xs) for path in graph.paths}
    levels = graph.levels(steps)
    gaps = [max(GAP, 2 * STUB + LEVEL * (len(level) - 1)) for level in levels]
    rows = _place_rows(graph, xs, gaps, graph.columns(gaps, max_height))
    boxes = tuple(
        Box(
            rows.shifts[row] + xs[block, row] - size.width / 2,
            rows.tops[row] + (graph.heights[row] - size.height) / 2,
            size.width,
            size.height,
        )
        for block, (row, size) in enumerate(zip(graph.row_of, sizes, strict=True))
    )

    def route(path: tuple[Cell, ...]) -> Edge:
        source, target = boxes[path[0][0]], boxes[path[-1][0]]
        points = [(source.middle[0], source.top + source.height)]
        for (start, row), end, step in zip(path, path[1:], steps[path], strict=False):
            x, next_x = rows.shifts[row] + xs[start, row], rows.shifts[row + 1] + xs[end]
            below = rows.tops[row] + graph.heights[row] + STUB
            if row in rows.breaks:
                gutter, above = next_x - graph.half_width - GUTTER / 2, rows.tops[row + 1] - STUB
                points += [(x, below), (gutter, below), (gutter, above), (next_x, above)]
            elif step in ("out", "in"):
                y = below + LEVEL * levels[row].index(_level_key(path, end, step))
                points += [(x, y), (next_x, y)]
            elif step == "side":
                y = target.middle[1]
                points += [(x, y), (next_x + sizes[end[0]].shape_width / 2, y)]
        if steps[path][-1] != "side":
            points.append((target.middle[0], target.top))
        return Edge(path[0][0], path[-1][0], tuple(points), is_skip=not graph.main.issuperset(path) or len(path) > 2)

    return Layout(boxes, tuple(route(path) for path in graph.paths), rows.width, rows.height)


@dataclass(frozen=True)
class _Rows:
    """The top of each row, the x of its main chain, the rows that end a column before the last, and the whole size."""

    tops: dict[int, float]
    shifts: dict[int, float]
    breaks: set[int]
    width: float
    height: float


def _place_rows(graph: _Graph, xs: dict[Cell, float], gaps: Sequence[float], columns: Sequence[range]) -> _Rows:
    margin = 2 * STUB if len(columns) > 1 else 0.0  # above and below, for the lines between columns
    tops: dict[int, float] = {}
    shifts: dict[int, float] = {}
    right, height = -GUTTER, 0.0
    for rows in columns:
        shift, y = right + GUTTER + graph.half_width, margin
        for row in rows:
            tops[row], shifts[row] = y, shift
            y += graph.heights[row] + gaps[row]
        height = max(height, y - gaps[rows[-1]] + margin)
        cells = [cell for row in rows for cell in graph.rows[row]]
        right = shift + max(graph.half_width, *(xs[cell] + graph.cell_width(cell) / 2 for cell in cells))
    return _Rows(tops, shifts, {rows[-1] for rows in columns[:-1]}, right, height)


def _level_key(path: tuple[Cell, ...], end: Cell, step: Step) -> tuple[str, int]:
    """Edges that leave a block early share a height in the gap, and so do those that reach a block late."""
    return step, path[0][0] if step == "out" else end[0]


class _Graph:
    """Blocks on rows, edges as paths from row to row, and the lanes that they take; x is 0 on the main chain."""

    def __init__(self, inputs: Sequence[tuple[int, ...]], sizes: Sequence[Size]) -> None:
        self.sizes = sizes
        self.inputs = inputs
        self.row_of: list[int] = []
        for sources in inputs:
            self.row_of.append(1 + max((self.row_of[source] for source in sources), default=-1))
        self.paths: list[tuple[Cell, ...]] = [
            (*((source, row) for row in range(self.row_of[source], self.row_of[target])), (target, self.row_of[target]))
            for target, sources in enumerate(inputs)
            for source in sources
        ]
        every_cell = {(block, row) for block, row in enumerate(self.row_of)}.union(*self.paths)
        self.rows: list[list[Cell]] = [[] for _ in range(max(self.row_of) + 1)]
        for cell in sorted(every_cell):
            self.rows[cell[1]].append(cell)
        self.main = self._main_chain()
        self.heights = [
            max(sizes[block].height for block, row in cells if self.row_of[block] == row) for cells in self.rows
        ]
        self.half_width = max(self.cell_width(cell) for cell in self.main) / 2

    def is_block(self, cell: Cell) -> bool:
        return self.row_of[cell[0]] == cell[1]

    def cell_width(self, cell: Cell) -> float:
        return self.sizes[cell[0]].width if self.is_block(cell) else TRACK

    def _main_chain(self) -> set[Cell]:
        block = max(range(len(self.row_of)), key=lambda index: (self.row_of[index], index))
        chain = [block]
        while self.inputs[block]:
            block = max(self.inputs[block], key=lambda index: self.row_of[index])
            chain.append(block)
        return {(block, self.row_of[block]) for block in chain}

    def lane_positions(self) -> dict[Cell, float]:
        """The x of the middle of every cell."""
        xs = dict.fromkeys(self.main, 0.0)
        placed: list[tuple[int, int, float]] = []  # first row, last row, right end
        for lane in sorted(self._lanes(), key=lambda lane: (len(lane), lane[0][1])):
            first, last = lane[0][1], lane[-1][1]
            width = max(self.cell_width(cell) for cell in lane)
            beside = [right for start, end, right in placed if start <= last + 1 and first <= end + 1]
            left = max([self.half_width, *beside]) + LANE_GAP
            xs.update(dict.fromkeys(lane, left + width / 2))
            placed.append((first, last, left + width))
        return xs

    def _lanes(self) -> list[list[Cell]]:
        """The cells beside the main chain, as vertical runs.

        An edge passing by keeps its lane. A block continues the lane of a cell that leads to nothing else: what leaves
        a lane would otherwise share a piece of it with what arrives there.
        """
        above: dict[Cell, dict[Cell, None]] = {}
        below: dict[Cell, dict[Cell, None]] = {}
        for start, end in (pair for path in self.paths for pair in pairwise(path)):
            above.setdefault(end, {})[start] = None
            below.setdefault(start, {})[end] = None
        lane_ending: dict[Cell, list[Cell]] = {}
        lanes: list[list[Cell]] = []
        for cells in self.rows:
            ending, lane_ending = lane_ending, {}
            for cell in (cell for cell in cells if cell not in self.main):
                starts = [start for start in above.get(cell, {}) if not self.is_block(cell) or len(below[start]) == 1]
                lane = next((ending.pop(start) for start in starts if start in ending), None)
                if lane is None:
                    lane = []
                    lanes.append(lane)
                lane.append(cell)
                lane_ending[cell] = lane
        return lanes

    def steps(self, path: tuple[Cell, ...], xs: dict[Cell, float]) -> tuple[Step, ...]:
        """How an edge gets from each row to the next: straight, or changing lanes early (out) or late (in, side)."""
        found: list[Step] = []
        for start, end in pairwise(path):
            if xs[start] == xs[end]:
                found.append("straight")
            elif start in self.main or not self.is_block(end):
                found.append("out")
            else:
                found.append("side" if self._is_open(end, xs[start], xs) else "in")
        return tuple(found)

    def _is_open(self, cell: Cell, x: float, xs: dict[Cell, float]) -> bool:
        """Whether no other block stands on this row from the cell to x on its right."""
        others = [other for other in self.rows[cell[1]] if other != cell and self.is_block(other)]
        return xs[cell] < x and not any(
            xs[cell] < xs[other] and xs[other] - self.cell_width(other) / 2 <= x for other in others
        )

    def levels(self, steps: dict[tuple[Cell, ...], tuple[Step, ...]]) -> list[list[tuple[str, int]]]:
        """By row, the heights used in the gap below it, from the top."""
        found: list[set[tuple[str, int]]] = [set() for _ in self.rows]
        for path, names in steps.items():
            for (_, row), end, step in zip(path, path[1:], names, strict=False):
                if step in ("out", "in"):
                    found[row].add(_level_key(path, end, step))
        return [sorted(keys, key=lambda key: (key[0] != "out", key[1])) for keys in found]

    def columns(self, gaps: Sequence[float], max_height: float) -> list[range]:
        """The rows of each column: broken where only the main chain passes, nearest to columns of equal height."""
        ends: list[float] = []
        for height, gap in zip(self.heights, gaps, strict=True):
            ends.append((ends[-1] if ends else 0.0) + height + gap)
        links = [
            {(path[i], path[i + 1]) for path in self.paths for i in range(len(path) - 1) if path[i][1] == row}
            for row in range(len(self.rows))
        ]
        allowed = [
            row
            for row, passing in enumerate(links[:-1])
            if len(passing) == 1 and all(start in self.main and end in self.main for start, end in passing)
        ]
        num_columns = math.ceil(ends[-1] / max_height)
        targets = [ends[-1] * number / num_columns for number in range(1, num_columns)]
        cuts = sorted({min(allowed, key=lambda row: abs(ends[row] - target)) for target in targets if allowed})
        starts = [0, *(cut + 1 for cut in cuts)]
        return [range(start, end) for start, end in zip(starts, [*starts[1:], len(self.rows)], strict=True)]
