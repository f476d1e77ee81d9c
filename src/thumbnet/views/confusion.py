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
MARGIN_PX, GAP_PX, TITLE_PX, BAR_PX = 24, 12, 54, 18
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
    return figure
