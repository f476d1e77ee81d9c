"""checkpoint-last.pt: what a run goes on from, with a checksum in the same file, so that no kill can part the two.

It is a file of `torch.save`, a zip archive, whose comment holds the SHA-256 of all that comes before the comment.
"""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

import torch
from torch import Tensor

from thumbnet.config import TrainConfig, config_to_toml, run_config_from_toml
from thumbnet.errors import CheckpointError, ConfigError, RunError
from thumbnet.models.weights import first_not_finite
from thumbnet.runs.environment import Environment
from thumbnet.runs.files.checksums import SIGNATURE_LENGTH, is_as_signed, signature
from thumbnet.runs.known_data import KnownData
from thumbnet.specs.json_text import check_format
from thumbnet.specs.pace import Pace
from thumbnet.specs.stopping import StoppedBy
from thumbnet.specs.typed import from_fields
from thumbnet.training.history import history_from_rows
from thumbnet.training.randomness import RANDOM_SCHEMES
from thumbnet.training.state import TrainingState

CHECKPOINT_FORMAT = 2
HINT = "delete it: --resume then starts the run again"


@dataclass(frozen=True)
class Checkpoint:
    """The state after an epoch, with the data it belongs to and the seconds that the run has taken so far.

    `config` is the resolved one that the epoch was trained with (None in earlier versions' checkpoints), `environment`
    what it was computed with, and `changes` what was different after earlier interruptions and accepted.
    """

    state: TrainingState
    known_data: KnownData
    total_s: float
    config: TrainConfig | None = None
    environment: Environment = field(default_factory=Environment)
    changes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _PaceValues:
    """A pace as a checkpoint holds it."""

    steps: int
    starts: tuple[int, ...] = ()
    lengths: tuple[int, ...] = ()


@dataclass(frozen=True)
class _Values:
    """What a checkpoint holds besides tensors, with its types."""

    epoch: int
    data_checksum: str
    class_names: tuple[str, ...]
    total_s: float
    config: str | None = None
    environment: Environment = field(default_factory=Environment)
    changes: tuple[str, ...] = ()
    random_scheme: int = 1
    pace: _PaceValues | None = None
    stopped_by: StoppedBy | None = None


def checkpoint_to_bytes(checkpoint: Checkpoint) -> bytes:
    """The file: tensors, numbers and texts only, so that loading it runs no code."""
    state, buffer = checkpoint.state, io.BytesIO()
    torch.save(
        {
            "format": CHECKPOINT_FORMAT,
            "epoch": state.epoch,
            "model": dict(state.model),
            "optimizer": dict(state.optimizer),
            "average": None if state.average is None else dict(state.average),
            "best": None if state.best is None else dict(state.best),
            "stopped_by": state.stopped_by,
            "history": state.history.to_rows(),
            "random_scheme": state.random_scheme,
            "pace": None if state.pace is None else _pace_to_values(state.pace),
            "data_checksum": checkpoint.known_data.checksum,
            "class_names": list(checkpoint.known_data.class_names),
            "total_s": checkpoint.total_s,
            "config": None if checkpoint.config is None else config_to_toml(checkpoint.config),
            "environment": asdict(checkpoint.environment),
            "changes": list(checkpoint.changes),
        },
        buffer,
    )
    archive = buffer.getvalue()
    assert archive.endswith(b"\0\0"), "the length of no comment"
    signed = archive[:-2] + SIGNATURE_LENGTH.to_bytes(2, "little")
    return signed + signature(signed)


def checkpoint_from_bytes(content: bytes, *, name: str) -> Checkpoint:
    """The inverse of `checkpoint_to_bytes`; CheckpointError, which names the file, for any other content."""
    is_signed = is_as_signed(content)
    if is_signed is False:
        raise _damaged(name, "its content is not that of its checksum")
    saved = _load(content, name)
    try:
        if check_format(saved.get("format", 1), name=name, known_format=CHECKPOINT_FORMAT) > 1 and not is_signed:
            raise _damaged(name, "it has no checksum")
        plain = from_fields(_Values, saved, name=name, hint=HINT)
        history = history_from_rows(_list(saved, "history", name), name=name)
        config = None if plain.config is None else run_config_from_toml(plain.config, name=name)
    except CheckpointError:
        raise
    except RunError as error:
        raise CheckpointError(error.message, hint=error.hint) from error
    pace = None if plain.pace is None else _pace(plain.pace, name)
    if plain.random_scheme not in RANDOM_SCHEMES:
        raise CheckpointError(
            f"{name} draws random numbers by scheme {plain.random_scheme}, which this version does not know",
            hint="update thumbnet",
        )
    if len(history) != plain.epoch or not history:
        raise _damaged(name, f"it is of epoch {plain.epoch}, but its history has {len(history)}")
    if len(set(plain.class_names)) < len(plain.class_names) or plain.total_s < 0:
        raise _damaged(name, "its class names or seconds cannot be those of a run")
    average, best = saved.get("average"), saved.get("best")
    state = TrainingState(
        epoch=plain.epoch,
        model=_tensors(saved.get("model"), "model", name),
        optimizer=_optimizer(saved.get("optimizer"), name),
        history=history,
        average=None if average is None else _tensors(average, "average", name),
        random_scheme=plain.random_scheme,
        pace=pace,
        best=None if best is None else _tensors(best, "best weights", name),
        stopped_by=plain.stopped_by,
    )
    known_data = KnownData(plain.data_checksum, plain.class_names)
    return Checkpoint(state, known_data, plain.total_s, config, plain.environment, plain.changes)


def _pace_to_values(pace: Pace) -> dict[str, object]:
    return {"steps": pace.steps, "starts": list(pace.starts), "lengths": list(pace.lengths)}


def _pace(values: _PaceValues, name: str) -> Pace:
    try:
        return Pace(values.steps, values.starts, values.lengths)
    except ConfigError as error:
        raise _damaged(name, error.message) from error


def _damaged(name: str, reason: object) -> CheckpointError:
    return CheckpointError(f"the checkpoint {name} is damaged: {reason}", hint=HINT)


def _load(content: bytes, name: str) -> dict[str, object]:
    """What the archive holds. PyTorch's own errors are not shown: some advise to load what runs code."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            if any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist()):
                raise _damaged(name, "it is compressed")
        saved = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except CheckpointError:
        raise
    except Exception as error:  # damaged bytes lead its readers to errors of every kind
        raise _damaged(name, "it is no archive of tensors, numbers and texts as `train` writes it") from error
    if not isinstance(saved, dict) or not all(isinstance(key, str) for key in saved):
        raise _damaged(name, "it holds no values by name")
    return saved


def _list(saved: Mapping[str, object], key: str, name: str) -> list[Mapping[str, object]]:
    values = saved.get(key)
    if not isinstance(values, list) or not all(isinstance(row, dict) for row in values):
        raise _damaged(name, f"its {key} is no list of rows")
    return values


def _tensors(values: object, what: str, name: str) -> dict[str, Tensor]:
    if not isinstance(values, dict) or not values:
        raise _damaged(name, f"its {what} holds no tensors")
    for key, tensor in values.items():
        if not isinstance(key, str) or type(tensor) is not Tensor or tensor.layout != torch.strided:
            raise _damaged(name, f"its {what} holds something else than tensors")
    broken = first_not_finite(values)
    if broken is not None:
        raise _damaged(name, f"{broken} of its {what} is not finite: it holds NaN or infinity")
    return values


def _optimizer(values: object, name: str) -> dict[str, object]:
    """The optimizer's state: numbers by parameter group, tensors by parameter."""
    if not isinstance(values, dict) or not isinstance(values.get("state"), dict):
        raise _damaged(name, "its optimizer has no state")
    groups = values.get("param_groups")
    if not isinstance(groups, list) or not groups or not all(_is_group(group) for group in groups):
        raise _damaged(name, "its optimizer has no groups of parameters")
    for state in values["state"].values():
        tensors = (
            {key: value for key, value in state.items() if isinstance(value, Tensor)} if _is_named(state) else None
        )
        if tensors is None or first_not_finite(tensors) is not None:
            raise _damaged(name, "its optimizer's state is not finite or holds something else than tensors")
    return values


def _is_named(values: object) -> bool:
    return isinstance(values, dict) and all(isinstance(key, str) for key in values)


def _is_group(group: object) -> bool:
    if not isinstance(group, dict) or not isinstance(group.get("params"), list):
        return False
    numbers = [value for value in group.values() if isinstance(value, float)]
    return _is_named(group) and all(map(math.isfinite, numbers)) and all(type(each) is int for each in group["params"])
