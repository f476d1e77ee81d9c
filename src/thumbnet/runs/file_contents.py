"""What stands in files of a run's folder: its config with comments, its data's notes, its plan, its weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import safetensors.torch
from torch import Tensor

from thumbnet.config import TrainConfig, config_to_toml
from thumbnet.data.dataset import Source
from thumbnet.errors import RunError
from thumbnet.models.weights import first_not_finite
from thumbnet.runs.names import DATA_NOTE, EXCLUDED, GROUPS, PLAN, SKIPPED
from thumbnet.runs.planning.record import PLAN_FORMAT, PlanRecord, plan_to_dict
from thumbnet.specs.json_text import FORMAT, to_json
from thumbnet.terminal.text import escaped


def files_of_data(config: TrainConfig, source: Source) -> dict[str, bytes | str]:
    """excluded.csv and groups.csv, copies, so that the run does not need the originals any more; data-note.txt;
    skipped.txt."""
    files: dict[str, bytes | str] = {} if config.exclude is None else {EXCLUDED: Path(config.exclude).read_bytes()}
    if config.division.names_a_file:
        files[GROUPS] = Path(config.division.groups).read_bytes()
    if source.note:
        files[DATA_NOTE] = f"{source.note}\n"
    if source.skipped:
        files[SKIPPED] = "".join(f"{escaped(name)}\n" for name in source.skipped)
    return files


def files_of_plan(plan: PlanRecord | None) -> dict[str, bytes | str]:
    """plan.json, if there is a plan."""
    if plan is None:
        return {}
    return {PLAN: to_json({FORMAT: PLAN_FORMAT, **plan_to_dict(plan)}, name=PLAN, indent=2) + "\n"}


def config_text(config: TrainConfig, note: str) -> str:
    """config.toml, with the lines of `note` as comments before it."""
    return "".join(f"# {escaped(line)}\n" for line in note.splitlines()) + config_to_toml(config)


def weights_to_bytes(weights: Mapping[str, Tensor]) -> bytes:
    """A safetensors file; RunError where a weight is NaN or infinite."""
    broken = first_not_finite(weights)
    if broken is not None:
        raise RunError(
            f"the weights are not finite: {broken} holds NaN or infinity", hint="train again with a lower rate"
        )
    return safetensors.torch.save({name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()})
