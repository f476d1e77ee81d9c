"""What a sweep leaves: a table of its trials, and the best one as a recipe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from thumbnet.config import TrainConfig, config_to_toml
from thumbnet.runs.checked_folder import CheckedFolder
from thumbnet.runs.names import BEST, SWEEP_TABLE
from thumbnet.runs.sweeps.rows import SweepTrial, best_of, trials_to_csv
from thumbnet.runs.sweeps.space import config_of_trial
from thumbnet.specs.search import Dimension


@dataclass(frozen=True)
class SweepResult:
    """The trials of a sweep so far, of all processes that share it. `best` is the finished one of the highest value
    (None: none is finished); best.toml in `path` is its recipe."""

    path: Path
    trials: tuple[SweepTrial, ...]
    best: SweepTrial | None


def write_table(
    folder: CheckedFolder,
    config: TrainConfig,
    dimensions: Sequence[Dimension],
    trials: Sequence[SweepTrial],
    *,
    measure: str,
) -> None:
    """sweep.csv, and best.toml if a trial is finished."""
    folder.write(SWEEP_TABLE, trials_to_csv(trials, [dimension.field for dimension in dimensions]))
    best = best_of(trials)
    if best is not None:
        recipe = config_to_toml(config_of_trial(config, dimensions, best.params))
        note = (
            f"# Trial {best.number} of a sweep: {measure} {best.value} on validation images, which chose it, and are\n"
            "# therefore a little too good. Its test accuracy is known once it is trained:\n"
            f"# thumbnet train --recipe {BEST}\n"
        )
        folder.write(BEST, note + recipe)
