"""What stands in files of a run's folder: its config with comments, its data's notes, its plan, its weights."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import safetensors.torch
from torch import Tensor

from thumbnet.config import TrainConfig, config_to_toml
from thumbnet.data.dataset import Source
from thumbnet.errors import ConfigError, RunError
from thumbnet.models.weights import first_not_finite
from thumbnet.runs.files.init_record import INIT_FORMAT, InitChoice, init_choice_to_dict
from thumbnet.runs.files.names import DATA_NOTE, EXCLUDED, GROUPS, INIT_CHOICE, PLAN, REMARKS, SKIPPED
from thumbnet.runs.files.remarks import REMARKS_FORMAT
from thumbnet.runs.planning.record import PLAN_FORMAT, PlanRecord, plan_to_dict
from thumbnet.specs.code_reference import own_code_of
from thumbnet.specs.json_text import FORMAT, to_json
from thumbnet.specs.own_code import COPY, file_of
from thumbnet.terminal.text import escaped


def files_of_data(config: TrainConfig, source: Source) -> dict[str, bytes | str]:
    """excluded.csv and groups.csv, copies, so that the run does not need the originals any more; data-note.txt;
    skipped.txt; remarks.json."""
    files: dict[str, bytes | str] = {} if config.exclude is None else {EXCLUDED: Path(config.exclude).read_bytes()}
    if config.division.names_a_file:
        files[GROUPS] = Path(config.division.groups).read_bytes()
    if source.note:
        files[DATA_NOTE] = f"{source.note}\n"
    if source.skipped:
        files[SKIPPED] = "".join(f"{escaped(name)}\n" for name in source.skipped)
    if source.training_remarks:
        values = {FORMAT: REMARKS_FORMAT, "remarks": list(source.training_remarks)}
        files[REMARKS] = to_json(values, name=REMARKS, indent=2) + "\n"
    return files


def files_of_plan(plan: PlanRecord | None) -> dict[str, bytes | str]:
    """plan.json, if there is a plan."""
    if plan is None:
        return {}
    return {PLAN: to_json({FORMAT: PLAN_FORMAT, **plan_to_dict(plan)}, name=PLAN, indent=2) + "\n"}


def files_of_init(choice: InitChoice | None) -> dict[str, bytes | str]:
    """init.json, if what to begin with was chosen."""
    if choice is None:
        return {}
    values = {FORMAT: INIT_FORMAT, **init_choice_to_dict(choice)}
    return {INIT_CHOICE: to_json(values, name=INIT_CHOICE, indent=2) + "\n"}


def files_of_code(config: TrainConfig) -> dict[str, bytes | str]:
    """Copies of the files of the user's own code that a resolved config names; ConfigError as `copies_of_code`."""
    return copies_of_code(own_code_of(config.model, config.inputs.augmentation))


def copies_of_code(references: Iterable[str]) -> dict[str, bytes | str]:
    """Copies of the files that these resolved references are into.

    Raises:
        ConfigError: two of them have one name.
    """
    files: dict[str, bytes | str] = {}
    for reference in references:
        file = file_of(reference)
        if file is None:
            continue
        if files.setdefault(f"{COPY}{file.name}", file.content) != file.content:
            raise ConfigError(f"two files of code are called {file.name}", hint="rename one of them")
    return files


def config_text(config: TrainConfig, note: str) -> str:
    """config.toml, with the lines of `note` as comments before it."""
    return "".join(f"# {escaped(line)}\n" for line in note.splitlines()) + config_to_toml(config)


def weights_to_bytes(weights: Mapping[str, Tensor]) -> bytes:
    """A safetensors file, of tensors only: equal weights are equal bytes. RunError where one is NaN or infinite."""
    broken = first_not_finite(weights)
    if broken is not None:
        raise RunError(
            f"the weights are not finite: {broken} holds NaN or infinity", hint="train again with a lower rate"
        )
    return safetensors.torch.save({name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()})
