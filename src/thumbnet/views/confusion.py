"""The confusion matrix as a picture: truth by row, prediction by column, counts int [K,K]."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from torch import Tensor

from thumbnet.views.figure import MUTED, TEXT_PT, line_height_px, new_figure, styled, text_width_px

MAX_COUNTED_CLASSES = 20  # above it the cells are too small for numbers
MAX_CELL_PX, MIN_SIDE_PX, MAX_SIDE_PX = 66, 240, 960
MARGIN_PX, GAP_PX, TITLE_PX, BAR_PX = 24, 10, 50, 18
COUNT_FILL = 0.8  # of a cell's width at most
NAME_PT = 9
BAR_TICKS = (0, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 1)
DARK_FROM = 0.51  # row fraction from which white numbers stand out better than black ones (contrast 4.5 or more)


@styled
def draw_confusion(
    matrix: Int[np.ndarray, "k k"] | Int[Tensor, "k k"] | Sequence[Sequence[int]], class_names: Sequence[str]
) -> Figure:
    """Coloured by the fraction of the row's images, with the counts above 0 in the cells up to 20 classes.

    A class without images is an empty row. Where there are more classes than lines of text fit, only every second (or
    third, ...) row and column is named.
    """
    counts = np.asarray(matrix)
    num_classes = len(class_names)
    assert counts.shape == (num_classes, num_classes)
    totals = counts.sum(axis=1, keepdims=True)
    fractions = np.divide(counts, totals, out=np.zeros(counts.shape), where=totals > 0)

    cell_px = min(max(MAX_CELL_PX, MIN_SIDE_PX / num_classes), MAX_SIDE_PX / num_classes)
    side_px = num_classes * cell_px
    step = math.ceil(line_height_px(NAME_PT) / cell_px)
    named = range(0, num_classes, step)
    name_px = max(text_width_px(class_names[index], NAME_PT) for index in named)
    line_px = line_height_px(NAME_PT)
    angle = 0 if name_px < 0.9 * cell_px else 90 if num_classes > MAX_COUNTED_CLASSES else 45
    below_px = {0: line_px, 45: (name_px + line_px) / math.sqrt(2), 90: name_px}[angle] + GAP_PX
    left_px = MARGIN_PX + line_px + GAP_PX + name_px + GAP_PX
    bar_left_px = left_px + side_px + 2 * GAP_PX
    bar_label_px = text_width_px("100 %", NAME_PT) + 2 * GAP_PX + line_px

    title = f"{counts.sum():,} images, {_per_cent_right(counts)} right"
    width_px = max(bar_left_px + BAR_PX + bar_label_px, left_px + text_width_px(title, 11)) + MARGIN_PX
    figure = new_figure(width_px, TITLE_PX + side_px + below_px + line_px + MARGIN_PX)
    axes = _axes_at(figure, left_px, side_px, side_px)
    axes.set_title(title)
    norm = PowerNorm(0.5, vmin=0, vmax=1)  # by the square root: else one error in a hundred looks like none
    image = axes.imshow(fractions, cmap="Blues", norm=norm, aspect="auto", interpolation="nearest")
    names = [class_names[index] for index in named]
    axes.set_yticks(named, names, fontsize=NAME_PT)
    turned: dict[str, Any] = {0: {}, 45: {"ha": "right", "rotation_mode": "anchor", "va": "center"}, 90: {}}[angle]
    axes.set_xticks(named, names, fontsize=NAME_PT, rotation=angle, **turned)
    axes.text(0.5, -below_px / side_px, "prediction", transform=axes.transAxes, ha="center", va="top", color=MUTED)
    truth_x = (MARGIN_PX - left_px) / side_px
    axes.text(truth_x, 0.5, "truth", transform=axes.transAxes, ha="left", va="center", rotation=90, color=MUTED)
    axes.grid(visible=False)
    if num_classes <= MAX_COUNTED_CLASSES:
        _write_counts(axes, counts, fractions, cell_px)

    bar = figure.colorbar(image, cax=_axes_at(figure, bar_left_px, BAR_PX, side_px), ticks=BAR_TICKS)
    bar.ax.yaxis.set_major_formatter(PercentFormatter(xmax=1, decimals=0, symbol=" %"))
    bar.ax.tick_params(labelsize=NAME_PT)
    bar.set_label("share of the row's images")
    bar.outline.set_visible(False)
    return figure


def _axes_at(figure: Figure, left_px: float, width_px: float, height_px: float) -> Axes:
    """Axes under the title, this far from the figure's left edge."""
    canvas_width, canvas_height = figure.bbox.width, figure.bbox.height
    bottom = 1 - (TITLE_PX + height_px) / canvas_height
    return figure.add_axes((left_px / canvas_width, bottom, width_px / canvas_width, height_px / canvas_height))


def _per_cent_right(counts: Int[np.ndarray, "k k"]) -> str:
    total = counts.sum()
    return f"{100 * np.trace(counts) / total:.2f} %" if total else "none"


def _write_counts(
    axes: Axes, counts: Int[np.ndarray, "k k"], fractions: Float[np.ndarray, "k k"], cell_px: float
) -> None:
    widest_px = text_width_px(f"{counts.max()}", TEXT_PT)
    size_pt = TEXT_PT * min(1, COUNT_FILL * cell_px / widest_px)
    for row, column in zip(*np.nonzero(counts), strict=True):
        colour = "white" if fractions[row, column] >= DARK_FROM else "black"
        axes.text(column, row, f"{counts[row, column]}", ha="center", va="center", color=colour, fontsize=size_pt)
