"""What a sweep was asked, as sweep.json holds it beside asked.toml. Without PyTorch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Literal, TypeAlias

from thumbnet.config import TrainConfig, config_to_toml
from thumbnet.errors import ConfigError
from thumbnet.runs.files.names import SWEEP
from thumbnet.runs.settings import MACHINE_FIELDS
from thumbnet.specs.checks import MAX_RUNS
from thumbnet.specs.data import DataSpec
from thumbnet.specs.json_text import FORMAT, read_object, to_json
from thumbnet.specs.length import MOST_MINUTES
from thumbnet.specs.typed import from_fields

SWEEP_FORMAT = 1
# Where the data is and which images were taken of it: the checksum of what was read stands for all of that.
IN_THE_CHECKSUM = ("data", "allow_unverified", "exclude", "groups")
Measure: TypeAlias = Literal["val_accuracy", "val_balanced_accuracy"]
MEASURES: dict[Measure, str] = {"val_accuracy": "accuracy", "val_balanced_accuracy": "mean accuracy of the classes"}


@dataclass(frozen=True)
class Question:
    """What is asked besides the recipe.

    Args:
        search: the texts of the dimensions.
        trials: so many are to be finished or pruned, over all that share the study; None: as many as the minutes give.
        minutes: after these no trial begins; None: no limit.
        max_params, max_macs: a network beyond them is not trained.
        measure: the column of history.csv that trials are compared by.
        storage: where the study is, without a password; None: in the sweep's folder.
        study: its name there, the same for all that ask the same.
        data_checksum: of the images and labels.
        grid: every combination of the choices is tried once, and nothing is given up.
        folder_id: by which a study that several share knows the trials of this folder, wherever it is; empty in sweeps
            of before, which are known by their machine and path.
        names: what values that are searched name, by `field=value`: whole paths, and code with its digits.
    """

    search: tuple[str, ...]
    trials: int | None
    minutes: float | None
    max_params: int
    max_macs: int
    measure: Measure
    storage: str | None
    study: str
    data_checksum: str
    grid: bool = False
    folder_id: str = ""
    names: Mapping[str, str] = field(default_factory=dict)


def study_name(
    config: TrainConfig,
    search: Sequence[str],
    *,
    max_params: int,
    max_macs: int,
    measure: str,
    data_checksum: str,
    grid: bool = False,
    code: Sequence[str] = (),
) -> str:
    """A name that is the same wherever the same is asked of the same data, on whatever machine and by whatever path.
    `code`: the references to code of the user's own, with their digits: another file of the same name is asked
    something else."""
    plain = config.replace(**dict.fromkeys((*MACHINE_FIELDS, *IN_THE_CHECKSUM, "threads")))
    kind = DataSpec(config.data).name
    asked = [kind, config_to_toml(plain), sorted(search), max_params, max_macs, measure, data_checksum]
    asked += [list(search)] if grid else []  # whose order is that of the trials
    asked += [sorted(code)] if code else []
    return f"{config.recipe}-{hashlib.sha256(json.dumps(asked).encode()).hexdigest()[:12]}"


def check_length(trials: int | None, minutes: float | None, *, grid: bool) -> None:
    """ConfigError where a sweep would have no end, or one that cannot be."""
    if grid and trials is not None:
        raise ConfigError(f"a grid is given {trials} trials", hint="leave trials out: it has its own number")
    if trials is None and minutes is None and not grid:
        raise ConfigError("a sweep is given neither trials nor minutes", hint="for instance --trials 20")
    if trials is not None and not 1 <= trials <= MAX_RUNS:
        raise ConfigError(f"trials is {trials}", hint=f"give how many trainings to make, 1 to {MAX_RUNS}")
    if minutes is not None and not 0 < minutes <= MOST_MINUTES:
        raise ConfigError(f"minutes is {minutes:g}", hint=f"give minutes above 0, at most {MOST_MINUTES:,.0f}")


def question_to_json(question: Question) -> str:
    """The text of sweep.json."""
    return to_json({FORMAT: SWEEP_FORMAT, **asdict(question)}, name=SWEEP, indent=2) + "\n"


def question_from_json(text: bytes, *, name: str) -> Question:
    """The inverse; RunError, which names the file, where it is damaged."""
    return from_fields(Question, read_object(text, name=name, known_format=SWEEP_FORMAT), name=name)
