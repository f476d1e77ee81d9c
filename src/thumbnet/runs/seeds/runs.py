"""A folder that `train --seeds` made, read back: its seeds, its finished runs and their figures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from thumbnet.errors import RunError
from thumbnet.evaluation.aggregate import Aggregate, aggregate_rows
from thumbnet.runs.files.names import SEEDS
from thumbnet.runs.files.seed_list import seed_folder
from thumbnet.runs.run import Run, RunDir, load_run
from thumbnet.terminal.text import quoted


def is_seed_runs(path: str | Path) -> bool:
    """Whether the folder holds runs with several seeds."""
    return (Path(path) / SEEDS).exists()


def load_seed_runs(path: str | Path) -> tuple[Run, ...]:
    """The finished run of each seed.

    Raises:
        RunError: the folder holds no runs with several seeds, they are not finished, or of different classes or images.
    """
    if not is_seed_runs(path):
        raise RunError(f"{path} holds no runs with several seeds", hint="give a folder that `train --seeds` made")
    folder = RunDir(Path(path))
    if not folder.is_complete:
        raise RunError(
            f"the runs in {path} are not finished", hint=f"finish them with: thumbnet train --resume {quoted(path)}"
        )
    runs = tuple(load_run(folder.path / seed_folder(seed)) for seed in folder.read_seeds())
    check_same_classes(path, runs)
    if len({run.card.num_test for run in runs}) > 1:
        raise RunError(f"the runs in {path} have different numbers of test images", hint="restore them from a copy")
    return runs


def check_same_classes(path: str | Path, runs: Sequence[Run]) -> None:
    """RunError where runs of one folder are not of the same classes or labels."""
    if len({(run.card.class_names, run.card.has_several_labels) for run in runs}) > 1:
        raise RunError(f"the runs in {path} are of different classes", hint="restore them from a copy")


def figures_of_seeds(runs: Sequence[Run]) -> dict[str, Aggregate]:
    """Each figure of the test images that all runs have, by its name in metrics.json."""
    return aggregate_rows([figures_of_test(run) for run in runs])


def figures_of_test(run: Run) -> dict[str, float]:
    """A run's figures of the test images, by their names in metrics.json."""
    return {name: value for name, value in run.metrics.items() if name.startswith("test_") and isinstance(value, float)}
