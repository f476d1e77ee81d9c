"""`thumbnet evaluate --robustness`. Imports torch, so only verbs import it."""

from __future__ import annotations

import argparse
from pathlib import Path

from thumbnet.data.dataset import Dataset
from thumbnet.evaluation.robustness import Robustness, measure_robustness
from thumbnet.formats.json_text import to_json
from thumbnet.runs.run import ROBUSTNESS, ROBUSTNESS_PLOT, Run, RunDir
from thumbnet.terminal.streams import tell
from thumbnet.trained.model import TrainedModel


def measure(parsed: argparse.Namespace, trained: TrainedModel, dataset: Dataset, *, is_own: bool) -> Robustness:
    """The model's robustness; a run's on its own data is written into its folder, with its plot, for the report.

    RunError where the folder cannot be written.
    """
    robustness = measure_robustness(trained.model, dataset, say=_tell)
    if isinstance(trained, Run):
        if is_own:
            _write(RunDir(trained.path), robustness)
            _tell(f"{_report_again(parsed, trained)} shows it, too")
        else:
            _tell("these images are not all the run's own, so nothing is written into its folder")
    return robustness


def _report_again(parsed: argparse.Namespace, run: Run) -> Path:
    """Write the run's report again, with the robustness."""
    from thumbnet.runs.report import write_report

    return write_report(
        run.path, data=parsed.data, data_dir=parsed.data_dir, allow_unverified=parsed.allow_unverified or None
    )


def _write(folder: RunDir, robustness: Robustness) -> None:
    from thumbnet.views.figure import png_bytes  # takes a second, which `--pretrained` need not wait for
    from thumbnet.views.robustness import draw_robustness

    plot = png_bytes(draw_robustness(robustness))
    with folder.locked(waits=True):
        text = to_json(robustness.to_dict(), name=ROBUSTNESS, indent=2)
        folder.write_checked({ROBUSTNESS: f"{text}\n"})
        folder.write(ROBUSTNESS_PLOT, plot)
    _tell(f"written to {folder.path}: {ROBUSTNESS}, {ROBUSTNESS_PLOT}")


def _tell(text: str) -> None:
    tell(f"robustness: {text}")
