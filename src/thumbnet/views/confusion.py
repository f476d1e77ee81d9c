"""The confusion matrix as a picture: truth by row, prediction by column, counts int [K,K]."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Int
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from torch import Tensor

from thumbnet.views.figure import INK, TEXT_PT, line_height_px, new_figure, styled, text_width_px

MAX_COUNTED_CLASSES = 20  # above it the cells are too small for numbers
CELL_PX = 66
MIN_SIDE_PX, MAX_SIDE_PX = 300, 1020
MARGIN_PX, GAP_PX, TITLE_PX, BAR_PX, BAR_LABEL_PX = 24, 12, 54, 18, 70
MAX_NAME_PX = 150  # longer class names are cut
# The square root of the fraction: one error in a hundred is as visible as the difference of 90 and 100 % right.
NORM = PowerNorm(0.5, vmin=0, vmax=1)
BAR_TICKS = (0, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 1)
DARK_FROM = 0.36  # row fraction at which the colour needs white numbers


@styled
def draw_confusion(
    matrix: Int[np.ndarray, "k k"] | Int[Tensor, "k k"] | Sequence[Sequence[int]], class_names: Sequence[str]
) -> Figure:
    """Coloured by the fraction of the row's images, with the counts above 0 in the cells up to 20 classes.

    A class without images is an empty row. With many classes every second or third tick has its name, as fits.
    """
    counts = np.asarray(matrix)
    num_classes = len(class_names)
    assert counts.shape == (num_classes, num_classes)
    totals = counts.sum(axis=1, keepdims=True)
    fractions = np.divide(counts, totals, out=np.zeros(counts.shape), where=totals > 0)
    side = float(np.clip(CELL_PX * num_classes, MIN_SIDE_PX, MAX_SIDE_PX))
    names_px = min(max(text_width_px(name, TEXT_PT) for name in class_names), MAX_NAME_PX) + GAP_PX
    line_px = line_height_px(TEXT_PT)
    left, top = MARGIN_PX + line_px + names_px, TITLE_PX
    figure = new_figure(left + side + 3 * GAP_PX + BAR_PX + BAR_LABEL_PX, top + side + names_px + line_px + MARGIN_PX)
    width, height = figure.bbox.width, figure.bbox.height
    axes = figure.add_axes((left / width, 1 - (top + side) / height, side / width, side / height))
    image = axes.imshow(fractions, cmap="Blues", norm=NORM, aspect="auto", interpolation="nearest")
    _label_axes(axes, class_names, cell_px=side / num_classes)
    if num_classes <= MAX_COUNTED_CLASSES:
        for (row, column), count in np.ndenumerate(counts):
            if count:
                colour = "white" if fractions[row, column] > DARK_FROM else INK
                axes.text(column, row, f"{count:,}", ha="center", va="center", color=colour, fontsize=TEXT_PT)
    bar_axes = figure.add_axes(
        ((left + side + 2 * GAP_PX) / width, 1 - (top + side) / height, BAR_PX / width, side / height)
    )
    bar = figure.colorbar(image, cax=bar_axes, ticks=BAR_TICKS, format=PercentFormatter(1, decimals=0))
    bar.outline.set_visible(False)  # type: ignore[operator]  # its stubs take it for a property
    return figure


def _label_axes(axes: Axes, class_names: Sequence[str], *, cell_px: float) -> None:
    step = math.ceil(line_height_px(TEXT_PT) / cell_px)
    ticks = range(0, len(class_names), step)
    names = [_shortened(class_names[index]) for index in ticks]
    axes.set_xticks(ticks, names, rotation=90)
    axes.set_yticks(ticks, names)
    axes.set(title="Confusion matrix: images by class, colour by share of the row", xlabel="prediction", ylabel="truth")
    axes.grid(visible=False)
    axes.spines[:].set(visible=False)


def _shortened(name: str) -> str:
    """The name, its end replaced by an ellipsis where it is too long for the margin."""
    if text_width_px(name, TEXT_PT) <= MAX_NAME_PX:
        return name
    while text_width_px(f"{name}…", TEXT_PT) > MAX_NAME_PX:
        name = name[:-1]
    return f"{name}…"
