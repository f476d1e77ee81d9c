"""Training curves: four panels of loss and accuracy by epoch, for one history or several.

Above, the training split; below, the split that was scored after each epoch (validation or test).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from thumbnet.evaluation.figure_names import are_apart
from thumbnet.training.history import History
from thumbnet.views.axes import PerCentFormatter
from thumbnet.views.figure import (
    BLUE,
    GREEN,
    MUTED,
    ORANGE,
    PURPLE,
    SKY,
    TEXT_PT,
    VERMILION,
    new_figure,
    styled,
    text_width_px,
    wrap_text,
)
from thumbnet.views.outliers import describe_outliers, highest_shown

WIDTH_PX, HEIGHT_PX = 1080, 780
COLOURS = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY)
DASHES = ("-", "--", ":", "-.")  # beside the colours, for a print in grey
ROUND_STEPS = (1, 2, 5, 10)  # between ticks
SPLIT_TITLES = {"val": "validation", "test": "test"}
MAX_DOTS = 40  # epochs; above it dots would merge
PANEL_MARGIN_PX, NOTE_PT = 120, 8.5
LEGEND_HANDLE_PX = 90  # the line before a label, and the space after it
BALANCED: dict[str, Any] = {"linewidth": 0.9, "linestyle": "-", "marker": "x", "markersize": 4}  # thin lines


@dataclass(frozen=True)
class Curves:
    """One history: a value per epoch, None where it was not scored. Accuracies are fractions from 0 to 1.

    `label` names it in the legend; `eval_split` (val or test) is what eval_loss and eval_accuracy were scored on. The
    balanced accuracies may be left out; they are drawn where they are other numbers than the accuracies.
    """

    label: str
    epochs: Sequence[int]
    train_loss: Sequence[float | None]
    train_accuracy: Sequence[float | None]
    eval_loss: Sequence[float | None]
    eval_accuracy: Sequence[float | None]
    eval_split: str
    train_balanced_accuracy: Sequence[float | None] = ()
    eval_balanced_accuracy: Sequence[float | None] = ()

    def __post_init__(self) -> None:
        assert self.epochs
        assert self.eval_split in SPLIT_TITLES
        for values in (self.train_loss, self.train_accuracy, self.eval_loss, self.eval_accuracy):
            assert len(values) == len(self.epochs)
        for values in (self.train_balanced_accuracy, self.eval_balanced_accuracy):
            assert len(values) in (0, len(self.epochs))

    @property
    def has_other_balanced(self) -> bool:
        """Whether balanced accuracy is another number than accuracy after any epoch."""
        of_training = zip(self.train_accuracy, self.train_balanced_accuracy, strict=False)
        of_evaluation = zip(self.eval_accuracy, self.eval_balanced_accuracy, strict=False)
        return any(are_apart(accuracy, balanced) for accuracy, balanced in (*of_training, *of_evaluation))


def curves_of(history: History, *, label: str) -> Curves:
    """The curves of a run's history, with the test set where it was scored as often as validation, else validation."""
    test_scores, val_scores = (
        [loss for loss in history.column(name) if loss is not None] for name in ("test_loss", "val_loss")
    )
    eval_split = "test" if test_scores and len(test_scores) >= len(val_scores) else "val"
    return Curves(
        label=label,
        epochs=history.column("epoch"),
        train_loss=history.column("train_loss"),
        train_accuracy=history.column("train_accuracy"),
        eval_loss=history.column(f"{eval_split}_loss"),
        eval_accuracy=history.column(f"{eval_split}_accuracy"),
        eval_split=eval_split,
        train_balanced_accuracy=history.column("train_balanced_accuracy"),
        eval_balanced_accuracy=history.column(f"{eval_split}_balanced_accuracy"),
    )


@styled
def draw_curves(series: Sequence[Curves]) -> Figure:
    """Loss (left) and accuracy in per cent (right) by epoch, training above and evaluation below, with one legend.

    The first history is a solid line, the following ones dashed and dotted; thin ones with crosses are balanced
    accuracies. Panels of a column share their scale, so that training and evaluation compare at a glance.
    """
    assert series
    splits = list(dict.fromkeys(SPLIT_TITLES[curves.eval_split] for curves in series))
    eval_title = " and ".join(splits).capitalize()

    figure = new_figure(WIDTH_PX, HEIGHT_PX)
    figure.set_layout_engine("constrained", w_pad=0.1, h_pad=0.1, wspace=0.03, hspace=0.04)
    panels = figure.subplots(2, 2, sharex=True, sharey="col")
    losses = [curves.train_loss for curves in series], [curves.eval_loss for curves in series]
    top = highest_shown([loss for panel in losses for history in panel for loss in history if loss is not None])
    _draw_panel(panels[0, 0], "Training loss", series, losses[0], top=top)
    _draw_panel(panels[0, 1], "Training accuracy", series, [_per_cent(curves.train_accuracy) for curves in series])
    _draw_panel(panels[1, 0], f"{eval_title} loss", series, losses[1], top=top)
    _draw_panel(panels[1, 1], f"{eval_title} accuracy", series, [_per_cent(curves.eval_accuracy) for curves in series])
    has_other_balanced = any(curves.has_other_balanced for curves in series)
    if has_other_balanced:
        _draw_balanced(panels[0, 1], series, [_per_cent(curves.train_balanced_accuracy) for curves in series])
        _draw_balanced(panels[1, 1], series, [_per_cent(curves.eval_balanced_accuracy) for curves in series])
    _set_scales(panels[0, 0], panels[0, 1], series)

    handles = [*panels[0, 0].get_lines()]
    labels = [
        curves.label if len(splits) == 1 else f"{curves.label} ({SPLIT_TITLES[curves.eval_split]})" for curves in series
    ]
    if has_other_balanced:
        handles.append(Line2D([], [], color=MUTED, **BALANCED))
        labels.append("balanced accuracy")
    widest_px = max(text_width_px(label, TEXT_PT) for label in labels) + LEGEND_HANDLE_PX
    ncols = min(len(labels), max(1, int(WIDTH_PX / widest_px)))
    figure.legend(handles, labels, loc="outside upper left", ncols=ncols, handlelength=2.6)
    return figure


def _per_cent(fractions: Sequence[float | None]) -> list[float | None]:
    return [None if fraction is None else 100 * fraction for fraction in fractions]


def _draw_panel(
    axes: Axes,
    title: str,
    series: Sequence[Curves],
    values: Sequence[Sequence[float | None]],
    *,
    top: float | None = None,
) -> None:
    """One line per history through its scored epochs, with a dot at each: a single epoch shows too.

    Values above `top` would flatten the others: they are drawn as triangles there, and named under the title.
    """
    axes.set_title(title)
    outliers = []
    axes.set_xlabel("epoch")
    axes.tick_params(labelbottom=True)
    for number, (curves, history) in enumerate(zip(series, values, strict=True)):
        scored = [(epoch, value) for epoch, value in zip(curves.epochs, history, strict=True) if value is not None]
        colour = COLOURS[number % len(COLOURS)]
        axes.plot(
            [epoch for epoch, _ in scored],
            [value if top is None else min(value, top) for _, value in scored],
            color=colour,
            linestyle=DASHES[number % len(DASHES)],
            marker="o" if len(scored) <= MAX_DOTS else "",
            clip_on=False,  # or the axis would cut a dot at 100 % in half
            in_layout=False,  # as an empty, unclipped line counts as a point in the figure's corner
        )
        above = [(epoch, value) for epoch, value in scored if top is not None and value > top]
        if top is not None and above:
            axes.scatter(
                [epoch for epoch, _ in above],
                [top] * len(above),
                s=80,
                marker="^",
                color=colour,
                clip_on=False,
                zorder=3,
            )
        outliers += [(f"{value:.4g}", f"{curves.label}, epoch {epoch}") for epoch, value in above]
    if outliers:
        width_px = WIDTH_PX / 2 - PANEL_MARGIN_PX
        note = wrap_text(describe_outliers(outliers), width_px=width_px, size_pt=NOTE_PT)
        axes.text(
            0.99,
            0.97,
            note,
            transform=axes.transAxes,
            ha="right",
            va="top",
            fontsize=NOTE_PT,
            color=MUTED,
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 2},
        )
    if all(value is None for history in values for value in history):
        axes.set_axis_off()
        axes.text(0.5, 0.5, "not scored", transform=axes.transAxes, ha="center", va="center", color=MUTED)


def _draw_balanced(axes: Axes, series: Sequence[Curves], values: Sequence[Sequence[float | None]]) -> None:
    """Balanced accuracies in per cent, beside the accuracies of the same histories and in their colours."""
    for number, (curves, history) in enumerate(zip(series, values, strict=True)):
        scored = [(epoch, value) for epoch, value in zip(curves.epochs, history, strict=False) if value is not None]
        axes.plot(
            [epoch for epoch, _ in scored],
            [value for _, value in scored],
            color=COLOURS[number % len(COLOURS)],
            clip_on=False,
            in_layout=False,
            markevery=max(1, -(-len(scored) // MAX_DOTS)),
            **BALANCED,
        )


def _set_scales(loss: Axes, accuracy: Axes, series: Sequence[Curves]) -> None:
    """Whole epochs, few and round ticks, and no accuracy below 0 or above 100 %, for panels that share these scales."""
    first = min(min(curves.epochs) for curves in series)
    last = max(max(curves.epochs) for curves in series)
    margin = max(0.5, 0.02 * (last - first))
    loss.set_xlim(first - margin, last + margin)
    loss.xaxis.set_major_locator(MaxNLocator(nbins=10, steps=ROUND_STEPS, integer=True, min_n_ticks=1))
    for axes in (loss, accuracy):
        axes.yaxis.set_major_locator(MaxNLocator(nbins=6, steps=ROUND_STEPS))
    low, high = accuracy.get_ylim()
    accuracy.set_ylim(max(low, 0), min(high, 100))
    accuracy.yaxis.set_major_formatter(PerCentFormatter())
