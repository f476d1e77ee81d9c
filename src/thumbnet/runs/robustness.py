"""The robustness of a trained model, kept in its run's folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from torch import nn

from thumbnet.data.dataset import Dataset
from thumbnet.evaluation.robustness import Robustness
from thumbnet.evaluation.robustness_scoring import NUM_IMAGES_OF_TRAINING, measure_robustness
from thumbnet.models.decision import Decision
from thumbnet.models.label_decision import LabelDecision
from thumbnet.runs.own_data import DataPlace
from thumbnet.runs.run import ROBUSTNESS, ROBUSTNESS_PLOT, Run, RunDir
from thumbnet.specs.json_text import to_json
from thumbnet.trained.model import TrainedModel

Say = Callable[[str], None]


def measure_and_keep(
    trained: TrainedModel,
    dataset: Dataset,
    *,
    is_own: bool,
    place: DataPlace,
    say: Say,
) -> Robustness:
    """The model's robustness on the test split; a run's on its own data is written into its folder, with its plot, and
    its report is written again.

    Args:
        is_own: whether the dataset is the run's own.
        place: where that is now, for the report.

    Raises:
        RunError: the folder cannot be written.
    """

    def say_so(text: str) -> None:
        say(f"robustness: {text}")

    decision = trained.card.label_decision or trained.card.decision
    robustness = measure_robustness(trained.model, dataset, decision=decision, say=say_so)
    if isinstance(trained, Run):
        if is_own:
            folder = RunDir(trained.path)
            with folder.locked(waits=True):
                write_robustness(folder, robustness)
            say_so(f"written to {folder.path}: {ROBUSTNESS}, {ROBUSTNESS_PLOT}")
            path = _report_again(trained, place)
            say_so(f"{path} shows it, too")
        else:
            say_so("these images are not all the run's own, so nothing is written into its folder")
    return robustness


def _report_again(run: Run, place: DataPlace) -> Path:
    """Write the run's report again, with the robustness."""
    from thumbnet.runs.write_report import write_report  # takes a second, which a pretrained model need not wait for

    return write_report(
        run.path,
        data=place.data,
        data_dir=place.data_dir,
        allow_unverified=place.allow_unverified,
        dataset=place.dataset,
    )


def measure_for_report(
    model: nn.Module, dataset: Dataset, *, decision: Decision | LabelDecision | None = None, say: Say
) -> Robustness:
    """The robustness that a training measures for its report: on fewer images than `evaluate --robustness`. `decision`
    is how logits become answers, as in a card."""
    num_images = min(NUM_IMAGES_OF_TRAINING, len(dataset.test))
    say(f"Measuring accuracy under corruptions on {num_images:,} test images ...")
    return measure_robustness(model, dataset, num_images=NUM_IMAGES_OF_TRAINING, decision=decision)


def write_robustness(folder: RunDir, robustness: Robustness) -> None:
    """robustness.json and robustness.png, into a folder that is locked."""
    from thumbnet.views.figure import only_saved, png_bytes  # takes a second, which `--pretrained` need not wait for
    from thumbnet.views.robustness import draw_robustness

    with only_saved():
        plot = png_bytes(draw_robustness(robustness))
    text = to_json(robustness.to_dict(), name=ROBUSTNESS, indent=2)
    folder.write_checked({ROBUSTNESS: f"{text}\n"})
    folder.write(ROBUSTNESS_PLOT, plot)
