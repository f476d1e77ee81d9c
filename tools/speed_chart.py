"""The chart of accuracy against time: a panel for each kind of processor, so that no curve mixes two."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter
from speed_point import KINDS, NAMES, Point
from speed_results import OUR_REFERENCE, PLAIN

from thumbnet.training.progress import duration
from thumbnet.views.figure import new_figure, styled

TICKS_S = (3, 10, 30, 60, 180, 600, 1800, 3600, 10800)
WIDE_TICKS_S = (10, 60, 600, 3600)  # where there is little room
TALL = 1.6  # times as high: a panel with other networks, whose accuracy begins lower
PANEL_PX, NARROW_PANEL_PX = 310, 380
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7f5539", "#5e548e", "#666666", "#999999")
SHORT = {PLAIN: "reference, the plain way (published, extrapolated)", OUR_REFERENCE: "reference, our run"}


@styled
def draw(points: list[Point], width_px: int) -> Figure:
    """Test accuracy in per cent against the time of training, one line for each recipe, network or peer."""
    kinds = [kind for kind in KINDS if any(point.kind == kind for point in points)]
    lines = list(dict.fromkeys(point.line for point in points))
    colors = {line: COLORS[index % len(COLORS)] for index, line in enumerate(lines)}
    is_narrow = width_px < 700
    heights = [TALL if any(point.is_peer for point in points if point.kind == kind) else 1 for kind in kinds]
    figure = new_figure(width_px, round((NARROW_PANEL_PX if is_narrow else PANEL_PX) * sum(heights)) + 30)
    figure.set_layout_engine("constrained", w_pad=0.08, h_pad=0.08)
    panels = figure.subplots(len(kinds), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
    shortest_s, longest_s = min(point.train_s for point in points), max(point.train_s for point in points)
    beside, below = ({"loc": "upper left", "bbox_to_anchor": at} for at in ((1, 1), (0, -0.03)))
    for axes, kind, height in zip(panels, kinds, heights, strict=True):
        axes.set_title(f"Two cores, {NAMES[kind]}")
        here = [point for point in points if point.kind == kind]
        for line in dict.fromkeys(point.line for point in here):
            draw_line(axes, [point for point in here if point.line == line], line, colors[line])
        axes.set_ylabel("test accuracy, %")
        where = beside if not is_narrow else below if height == TALL else {"loc": "best"}
        axes.legend(fontsize=8, frameon=True, framealpha=0.85, edgecolor="none", **where)
    last = panels[-1]
    last.set_xscale("log")
    last.set_xlim(shortest_s / 1.5, longest_s * 2.5)
    ticks = WIDE_TICKS_S if is_narrow else TICKS_S
    last.set_xticks([tick for tick in ticks if shortest_s / 1.5 < tick < longest_s * 2.5])
    last.xaxis.set_major_formatter(
        FuncFormatter(lambda seconds, _: duration(float(seconds)).removesuffix(" 0 s").removesuffix(" 0 min"))
    )
    last.xaxis.set_minor_formatter(NullFormatter())
    last.set_xlabel("time of training; the numbers are epochs")
    return figure


def draw_line(axes: Axes, points: list[Point], line: str, color: str) -> None:
    """One line with its points, what stands at them, and its name for the legend."""
    chosen = sorted(points, key=lambda point: point.train_s)
    versions = {point.version for point in chosen} - {""}
    parameters = [f"{chosen[0].num_params / 1e6:.2f} M"] if chosen[0].is_peer else []
    name = ", ".join([SHORT.get(line, line), *sorted(versions), *parameters])
    axes.errorbar(
        [point.train_s for point in chosen],
        [100 * point.accuracy for point in chosen],
        yerr=[100 * (point.deviation or 0) for point in chosen],
        color=color,
        marker="o",
        capsize=2,
        linestyle="--" if chosen[0].is_peer else "-",
        label=name,
    )
    if chosen[0].is_peer or line in SHORT:
        return
    for point in chosen:
        axes.annotate(
            point.label,
            (point.train_s, 100 * point.accuracy),
            xytext=(7, -3) if line.startswith("thumb-") else (6, -11),
            textcoords="offset points",
            fontsize=8,
        )
