"""What a sweep leaves: a table of its trials, and the best one as a recipe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from thumbnet.config import TrainConfig, config_to_toml
from thumbnet.runs.files.checked_folder import CheckedFolder
from thumbnet.runs.files.names import BEST, SWEEP_TABLE
from thumbnet.runs.sweeps.question import Measure
from thumbnet.runs.sweeps.rows import SweepTrial, best_of, trials_to_csv
from thumbnet.runs.sweeps.space import config_of_trial
from thumbnet.runs.sweeps.whole import code_of, with_whole_names
from thumbnet.specs.search import Dimension
from thumbnet.terminal.text import quoted


@dataclass(frozen=True)
class SweepResult:
    """The trials of a sweep so far, of all processes that share it. `best` is the finished one of the highest value
    (None: none is finished); best.toml in `path` is its recipe, and `command` trains that. `measure` says what the
    values are of, on validation images."""

    path: Path
    trials: tuple[SweepTrial, ...]
    best: SweepTrial | None
    command: str
    measure: Measure = "val_accuracy"


def train_command(recipe: Path, config: TrainConfig, names: Mapping[str, str]) -> str:
    """How to train best.toml, whose code of the user's own is the copy beside it."""
    return f"thumbnet train --recipe {quoted(recipe)}" + (" --trust-code" if code_of(config, names) else "")


def write_table(
    folder: CheckedFolder,
    config: TrainConfig,
    dimensions: Sequence[Dimension],
    trials: Sequence[SweepTrial],
    *,
    measure: str,
    names: Mapping[str, str],
) -> None:
    """sweep.csv, and, if a trial is finished, best.toml, with the threads that computed the best one."""
    folder.write(SWEEP_TABLE, trials_to_csv(trials, [dimension.field for dimension in dimensions]))
    best = best_of(trials)
    if best is not None:
        recipe = with_whole_names(config_of_trial(config, dimensions, best.params), names)
        if best.num_threads is not None:  # it is, but for trials of earlier versions
            recipe = recipe.replace(threads=best.num_threads)
        note = (
            f"# Trial {best.number} of a sweep: {measure} {best.value} on validation images, which chose it, and are\n"
            "# therefore a little too good. Its test accuracy is known once it is trained:\n"
            f"# {train_command(Path(BEST), config, names)}\n"
        )
        folder.write(BEST, note + config_to_toml(recipe))
