"""Accuracy under corruptions: one small panel for each kind, all on one scale."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from thumbnet.evaluation.robustness import Robustness
from thumbnet.views.axes import PerCentFormatter
from thumbnet.views.figure import BLUE, VERMILION, new_figure, styled
from thumbnet.views.robustness_curves import RobustnessCurve, robustness_curves

COLUMNS = 3
WIDTH_PX, ROW_PX, LEGEND_PX = 1080, 270, 60
BAND_ALPHA = 0.16
ROUND_STEPS = (1, 2, 5, 10)  # between ticks
LABEL_PT = 8.5  # a unit, under a third of the width


@styled
def draw_robustness(robustness: Robustness) -> Figure:
    """Accuracy in per cent (balanced accuracy where that is another number) against strength, which grows to the right,
    with its 95 % interval as a band, and that of the same images as they are as a line across every panel."""
    curves = robustness_curves(robustness)
    num_rows = -(-len(curves) // COLUMNS)
    figure = new_figure(WIDTH_PX, num_rows * ROW_PX + LEGEND_PX)
    figure.set_layout_engine("constrained", w_pad=0.1, h_pad=0.1, wspace=0.03, hspace=0.04)
    panels = figure.subplots(num_rows, COLUMNS, sharey=True, squeeze=False).flatten()
    for axes, curve in zip(panels, curves, strict=False):
        _draw_panel(axes, curve)
    for axes in panels[len(curves) :]:
        axes.set_axis_off()
    scored = "balanced accuracy " if robustness.has_other_balanced else ""
    labels = (
        f"{scored}under the corruption ({robustness.num_images:,} test images; band: 95 % interval)",
        f"as they are: {curves[0].as_they_are:.1%}",
    )
    figure.legend(figure.axes[0].get_lines(), labels, loc="outside upper left", ncols=2, handlelength=2.6)
    return figure


def _draw_panel(axes: Axes, curve: RobustnessCurve) -> None:
    strengths = list(curve.strengths)
    bounds = [(value, value) if own is None else own for value, own in zip(curve.values, curve.bounds, strict=True)]
    axes.set_title(curve.corruption)
    axes.set_xlabel(curve.unit, fontsize=LABEL_PT)
    lows, highs = ([100 * bound for bound in each] for each in zip(*bounds, strict=True))
    axes.fill_between(strengths, lows, highs, color=BLUE, alpha=BAND_ALPHA, linewidth=0)
    # Not clipped, or the axis would cut a dot at 0 or 100 % in half.
    axes.plot(strengths, [100 * value for value in curve.values], color=BLUE, marker="o", clip_on=False)
    axes.axhline(100 * curve.as_they_are, color=VERMILION, linestyle="--")
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, steps=ROUND_STEPS))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda strength, _: f"{strength:g}"))
    if strengths[0] > strengths[-1]:  # of JPEG's quality, the lowest is the severest
        axes.invert_xaxis()
    axes.set_ylim(0, 100)
    axes.yaxis.set_major_formatter(PerCentFormatter())
    axes.tick_params(labelleft=True)
