"""Accuracy under corruptions: one small panel for each kind, all on one scale."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from thumbnet.evaluation.robustness import CorruptedAccuracy, Robustness
from thumbnet.views.axes import PerCentFormatter
from thumbnet.views.figure import BLUE, VERMILION, new_figure, styled

COLUMNS = 3
WIDTH_PX, ROW_PX, LEGEND_PX = 1080, 270, 60
BAND_ALPHA = 0.16
ROUND_STEPS = (1, 2, 5, 10)  # between ticks
LABEL_PT = 8.5  # a unit, under a third of the width


@styled
def draw_robustness(robustness: Robustness) -> Figure:
    """Accuracy in per cent against strength, which grows to the right, with its 95 % interval as a band, and
    the accuracy on the same images as they are as a line across every panel."""
    kinds = robustness.by_corruption()
    num_rows = -(-len(kinds) // COLUMNS)
    figure = new_figure(WIDTH_PX, num_rows * ROW_PX + LEGEND_PX)
    figure.set_layout_engine("constrained", w_pad=0.1, h_pad=0.1, wspace=0.03, hspace=0.04)
    panels = figure.subplots(num_rows, COLUMNS, sharey=True, squeeze=False).flatten()
    for axes, (name, rows) in zip(panels, kinds.items(), strict=False):
        _draw_panel(axes, name, rows, robustness)
    for axes in panels[len(kinds) :]:
        axes.set_axis_off()
    labels = (
        f"under the corruption ({robustness.num_images:,} test images; band: 95 % interval)",
        f"as they are: {robustness.accuracy:.1%}",
    )
    figure.legend(figure.axes[0].get_lines(), labels, loc="outside upper left", ncols=2, handlelength=2.6)
    return figure


def _draw_panel(axes: Axes, name: str, rows: Sequence[CorruptedAccuracy], robustness: Robustness) -> None:
    strengths = [row.strength for row in rows]
    bounds = [robustness.interval_of(row.accuracy) for row in rows]
    axes.set_title(name)
    axes.set_xlabel(rows[0].unit, fontsize=LABEL_PT)
    lows, highs = ([100 * bound for bound in each] for each in zip(*bounds, strict=True))
    axes.fill_between(strengths, lows, highs, color=BLUE, alpha=BAND_ALPHA, linewidth=0)
    # Not clipped, or the axis would cut a dot at 0 or 100 % in half.
    axes.plot(strengths, [100 * row.accuracy for row in rows], color=BLUE, marker="o", clip_on=False)
    axes.axhline(100 * robustness.accuracy, color=VERMILION, linestyle="--")
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, steps=ROUND_STEPS))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda strength, _: f"{strength:g}"))
    if strengths[0] > strengths[-1]:  # of JPEG's quality, the lowest is the severest
        axes.invert_xaxis()
    axes.set_ylim(0, 100)
    axes.yaxis.set_major_formatter(PerCentFormatter())
    axes.tick_params(labelleft=True)
