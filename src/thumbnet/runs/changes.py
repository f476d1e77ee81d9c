"""What is different when a run goes on: refused, or accepted and recorded."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from thumbnet.config import TrainConfig, config_to_dict
from thumbnet.errors import CheckpointError
from thumbnet.runs.files.names import METRICS

# The data's place may change, since its checksum is compared; what it is computed on is part of the environment.
MAY_DIFFER = ("data", "data_dir", "exclude", "device")


def config_changes(then: TrainConfig, now: TrainConfig) -> list[str]:
    """The fields that differ, a text each."""
    before, after = _comparable(then), _comparable(now)
    return [
        f"{name} was {before.get(name)} and is {after.get(name)}"
        for name in {**before, **after}
        if name not in MAY_DIFFER and before.get(name) != after.get(name)
    ]


def _comparable(config: TrainConfig) -> dict[str, object]:
    """The fields, a file of groups without its place: the run has a copy with a checksum."""
    values = config_to_dict(config)
    return {**values, "groups": "a .csv file"} if config.division.names_a_file else values


def check_accepted(changes: Sequence[str], *, folder: Path, accept_changes: bool, record: str = METRICS) -> None:
    """CheckpointError where a run would not go on as it began, and this is not accepted; `record` is the file of the
    folder that would tell of it."""
    if changes and not accept_changes:
        raise CheckpointError(
            f"{folder} would not go on as it began: {'; '.join(changes)}",
            hint="undo that, or go on all the same with --accept-changes (in Python accept_changes=True): "
            f"{record} then records it",
        )
