"""Runs against the first of them: a table for the terminal, and accuracy against what it costs as a picture."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, FixedLocator, Formatter, FuncFormatter, NullLocator

from thumbnet.evaluation.comparison import (
    BALANCED_METHOD,
    CONFIDENCE_LEVEL,
    INTERVAL_METHOD,
    TEST_METHOD,
    BalancedDifference,
    PairedComparison,
    RunMetrics,
)
from thumbnet.evaluation.label_differences import METHOD, FigureDifference
from thumbnet.terminal.table import aligned
from thumbnet.training.progress import duration
from thumbnet.views.axes import PerCentFormatter
from thumbnet.views.curves import COLOURS, LEGEND_HANDLE_PX
from thumbnet.views.figure import TEXT_PT, new_figure, styled, text_width_px

WIDTH_PX, HEIGHT_PX = 1260, 480
MARKERS = ("o", "s", "^", "D", "v")  # five beside six colours: thirty runs differ
MARKER_PT = 7
MAX_TICKS = 5
MIN_SPAN = 6.0  # highest over lowest value of an axis: less would show a tiny difference as a large one
MARGIN = 1.5  # of an axis, beyond its lowest and highest point
TICKS_S = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 3600, 7200, 18_000, 36_000, 86_400, 259_200)
COUNTS = tuple(float(digit * 10**power) for power in range(13) for digit in (1, 2, 5))


def describe_comparison(
    metrics: Sequence[RunMetrics],
    comparisons: Sequence[PairedComparison],
    notes: Sequence[str],
    differences: Sequence[Mapping[str, FigureDifference]] = (),
) -> str:
    """The table: a line for each run, then each of the others against the first, then what to know besides.

    Args:
        differences: of the metrics over all labels, of each comparison, where an image may have several.
    """
    heading = ["mean average precision"] if differences else ["balanced"]
    rows: list[tuple[str, ...]]
    rows = [("run", "model", "parameters", "MACs", "test accuracy", *heading, "training", "epochs")]
    rows += [
        (
            run.name,
            run.model,
            f"{run.num_params:,}",
            f"{run.macs / 1e6:,.1f} M",
            f"{run.accuracy:.2%} ± {run.standard_error:.2%}",
            *(_more_text(run) for _ in heading),
            duration(run.train_s),
            f"{run.epochs}",
        )
        for run in metrics
    ]
    lines = aligned(rows, num_left=2)
    baseline = metrics[0].name
    for index, (run, comparison) in enumerate(zip(metrics[1:], comparisons, strict=True)):
        lines += ["", *_pair_lines(run.name, baseline, comparison, len(comparisons))]
        lines += [f"    {line}" for line in figure_lines(differences[index])] if differences else []
    methods = f"interval: {INTERVAL_METHOD}; p: {TEST_METHOD}{', corrected by Holm' * (len(comparisons) > 1)}"
    if differences:
        methods += f"; of the other figures: {METHOD}; a picture is right with all of its labels"
    elif any(comparison.balanced is not None for comparison in comparisons):
        methods += f"; of the balanced accuracy: {BALANCED_METHOD}"
    lines += [
        "",
        f"{metrics[0].num_images:,} test images; ±: standard error; {methods}.",
        "All of it is about these trained models: the same recipe with another seed gives another model.",
    ]
    return "\n".join([*lines, *notes])


def figure_lines(differences: Mapping[str, FigureDifference]) -> list[str]:
    """How far metrics over all labels differ, a line for each but the accuracy, in points where it is a fraction of
    answers."""
    lines = []
    for name, found in differences.items():
        if name == "accuracy":
            continue
        values = found.difference, found.low, found.high
        if name == "mean_average_precision":
            difference, low, high = (f"{value:+.4f}" for value in values)
        else:
            difference, low, high = (f"{100 * value:+.2f}" for value in values)
            difference += " points"
        label = {"micro_f1": "micro F1", "macro_f1": "macro F1"}.get(name, name.replace("_", " "))
        lines.append(f"{label}: {difference} ({CONFIDENCE_LEVEL:.0%} interval {low} to {high})")
    return lines


@styled
def draw_costs(metrics: Sequence[RunMetrics]) -> Figure:
    """Test accuracy in per cent, with its standard error, against time of training, MACs and parameters (logarithmic):
    one mark a run, in the colours that `draw_curves` gives to the same runs."""
    assert metrics
    figure = new_figure(WIDTH_PX, HEIGHT_PX)
    figure.set_layout_engine("constrained", w_pad=0.1, h_pad=0.1, wspace=0.03)
    panels = figure.subplots(1, 3, sharey=True)
    seconds = FuncFormatter(lambda value, _: _round_duration(float(value)))
    counts = EngFormatter(sep=" ")
    _draw_panel(panels[0], "Time of training", metrics, lambda run: run.train_s, TICKS_S, seconds)
    _draw_panel(panels[1], "Multiply-accumulates of an image", metrics, lambda run: run.macs, COUNTS, counts)
    _draw_panel(panels[2], "Parameters", metrics, lambda run: run.num_params, COUNTS, counts)
    panels[0].set_ylabel("test accuracy ± standard error")
    panels[0].yaxis.set_major_formatter(PerCentFormatter())
    low, high = panels[0].get_ylim()
    panels[0].set_ylim(low, min(high, 100 + 0.05 * (high - low)))  # no tick above 100 %, yet a whole mark there
    labels = [run.name for run in metrics]
    widest_px = max(text_width_px(label, TEXT_PT) for label in labels) + LEGEND_HANDLE_PX
    ncols = min(len(labels), max(1, int(WIDTH_PX / widest_px)))
    figure.legend(panels[0].containers, labels, loc="outside upper left", ncols=ncols)
    return figure


def _pair_lines(name: str, baseline: str, comparison: PairedComparison, num_comparisons: int) -> tuple[str, ...]:
    low, high = comparison.interval.low, comparison.interval.high
    interval = f"{CONFIDENCE_LEVEL:.0%} interval {100 * low:+.2f} to {100 * high:+.2f}"
    corrected = f" ({p_text(comparison.holm_p_value)} corrected)" if num_comparisons > 1 else ""
    counts = (
        f"both {comparison.num_both_right:,}",
        f"only {name} {len(comparison.only_other):,}",
        f"only {baseline} {len(comparison.only_baseline):,}",
        f"neither {comparison.num_both_wrong:,}",
    )
    difference = f"{100 * comparison.difference:+.2f} points ({interval}), {p_text(comparison.p_value)}{corrected}"
    lines = [f"{name} against {baseline}:", f"    {difference}", f"    right: {', '.join(counts)}"]
    if comparison.balanced is not None:
        lines.append(f"    {balanced_text(comparison.balanced)}")
    if comparison.area is not None:
        (low, high), p_value = comparison.area.interval, p_text(comparison.area.p_value)
        interval = f"{CONFIDENCE_LEVEL:.0%} interval {low:+.4f} to {high:+.4f}"
        lines.append(f"    area under ROC: {comparison.area.difference:+.4f} ({interval}, DeLong), {p_value}")
    return tuple(lines)


def balanced_text(found: BalancedDifference) -> str:
    """How far balanced accuracies differ, for people."""
    interval = f"{CONFIDENCE_LEVEL:.0%} interval {100 * found.low:+.2f} to {100 * found.high:+.2f}"
    return f"balanced accuracy: {100 * found.difference:+.2f} points ({interval})"


def _more_text(run: RunMetrics) -> str:
    """What stands beside the accuracy: the balanced accuracy, or where an image may have several labels the mean
    average precision; `-` where the run has neither."""
    if run.balanced_accuracy is not None:
        return f"{run.balanced_accuracy:.2%}"
    return "-" if run.mean_average_precision is None else f"{run.mean_average_precision:.4f}"


def p_text(p_value: float) -> str:
    """A p value as it stands in a sentence; a very small one as a bound."""
    return "p < 0.0001" if p_value < 0.0001 else f"p = {p_value:.2g}"


def _draw_panel(
    axes: Axes,
    title: str,
    metrics: Sequence[RunMetrics],
    cost: Callable[[RunMetrics], float],
    ticks: Sequence[float],
    formatter: Formatter,
) -> None:
    axes.set_title(title)
    axes.set_xscale("log")
    for number, run in enumerate(metrics):
        axes.errorbar(
            [cost(run)],
            [100 * run.accuracy],
            yerr=[100 * run.standard_error],
            color=COLOURS[number % len(COLOURS)],
            marker=MARKERS[number % len(MARKERS)],
            markersize=MARKER_PT,
            fillstyle="none",  # runs of one model stand at the same cost, and may hide each other
            linestyle="none",
            capsize=3,
        )
    costs = [cost(run) for run in metrics]
    lowest, highest = min(costs) / MARGIN, max(costs) * MARGIN
    wider = max(1.0, MIN_SPAN * lowest / highest) ** 0.5
    lowest, highest = lowest / wider, highest * wider
    axes.set_xlim(lowest, highest)
    shown = [tick for tick in ticks if lowest <= tick <= highest]
    step = -(-len(shown) // MAX_TICKS)
    axes.xaxis.set_major_locator(FixedLocator(shown[:: max(step, 1)]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(formatter)


def _round_duration(seconds: float) -> str:
    """A tick's time: `0.5 s`, `20 s`, `5 min`, `2 h`."""
    if seconds < 10:
        return f"{seconds:g} s"
    return duration(seconds).removesuffix(" 0 s").removesuffix(" 0 min")
