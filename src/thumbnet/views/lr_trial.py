"""The LR finder's trial as a picture, or as a table."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from thumbnet.atomic import write_atomically
from thumbnet.errors import ConfigError
from thumbnet.training.lr_finder import SKIPPED_FIRST, LrTrial
from thumbnet.views.figure import (
    BLUE,
    INK,
    SKY,
    TEXT_PT,
    VERMILION,
    new_figure,
    save_figure,
    styled,
    wrap_text,
)


@styled
def draw_lr_trial(trial: LrTrial) -> Figure:
    """The LR finder's losses, as they came and smoothed, against the learning rate, with its suggestion marked."""
    figure = new_figure(840, 540)
    figure.set_layout_engine("constrained", w_pad=0.1, h_pad=0.1)
    axes = figure.subplots()
    axes.set_title(f"Learning rate finder: {trial.suggestion:.3g}")
    axes.plot(trial.rates, trial.losses, ".", color=SKY, alpha=0.6, label="training loss of a step")
    axes.plot(trial.rates, trial.smoothed_losses, color=BLUE, label="smoothed")
    method = wrap_text(f"suggestion {trial.suggestion:.3g}: {trial.method}", width_px=300, size_pt=TEXT_PT)
    axes.axvline(trial.suggestion, color=VERMILION, linestyle="--", label=method)
    at_suggestion = trial.smoothed_losses[trial.rates.index(trial.suggestion)]
    axes.plot([trial.suggestion], [at_suggestion], "o", color=VERMILION, markersize=8, zorder=3)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda rate, _: f"{rate:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("learning rate (logarithmic)")
    axes.set_ylabel("loss")
    axes.set_ylim(*_loss_range(trial))
    axes.legend(labelcolor=INK, loc="best")
    return figure


def save_lr_trial(trial: LrTrial, path: Path | str) -> None:
    """Write the trial as a table (.csv) or as the picture of `draw_lr_trial` (.png, .svg).

    Raises:
        ConfigError: the name ends otherwise, or the file cannot be written.
    """
    if Path(path).suffix.lower() != ".csv":
        save_figure(draw_lr_trial(trial), path)
        return
    try:
        write_atomically(Path(path), trial.to_csv())
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be written: {error}", hint="name a file in a folder that you may write"
        ) from error


def _loss_range(trial: LrTrial) -> tuple[float, float]:
    """From below the least loss to above the first ones: what diverges at the end would flatten the rest."""
    low = min(trial.losses)
    high = max(trial.losses[: SKIPPED_FIRST + 1])
    room = 0.15 * (high - low)
    return max(0.0, low - room), high + room
