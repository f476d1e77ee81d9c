"""What a run leaves on disk, and how it is read back. Every file is written atomically; metrics.json comes last."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from thumbnet.atomic import write_atomically
from thumbnet.card import ModelCard, card_from_dict
from thumbnet.config import TrainConfig, config_from_toml, config_to_toml
from thumbnet.data.dataset import Dataset, Split
from thumbnet.data.known import KnownData
from thumbnet.data.source_registry import obeys, source_name
from thumbnet.data.sources import load_dataset
from thumbnet.data.white_levels import scale_for
from thumbnet.errors import CheckpointError, RunError
from thumbnet.evaluation.predictions import Answers, Predictions
from thumbnet.evaluation.predictions_csv import answers_from_csv, predictions_to_csv
from thumbnet.evaluation.robustness import Robustness, robustness_from_dict
from thumbnet.model_card import TrainedModel, check_fits, create_from_card
from thumbnet.models.weights import load_weights
from thumbnet.terminal.text import escaped
from thumbnet.training.fit import TrainingState
from thumbnet.training.history import History, history_from_csv, history_from_rows

CONFIG = "config.toml"
HISTORY = "history.csv"
CHECKPOINT = "checkpoint-last.pt"
WEIGHTS = "model.safetensors"
MODEL_CARD = "model.json"
PREDICTIONS = "predictions.csv"
METRICS = "metrics.json"
REPORT = "report.html"
ROBUSTNESS = "robustness.json"  # only where it was measured
ROBUSTNESS_PLOT = "robustness.png"
EXCLUDED = "excluded.csv"
SKIPPED = "skipped.txt"  # only where files were skipped
DATA_NOTE = "data-note.txt"  # only where the data stands in for other data
RUN_DIR_OPTION = "--run-dir"


@dataclass(frozen=True)
class Checkpoint:
    """The state after an epoch, with the data it belongs to and the seconds that the run has taken so far."""

    state: TrainingState
    known_data: KnownData
    total_s: float


@dataclass(frozen=True)
class Run(TrainedModel):
    """A finished run, read back: its trained model (in evaluation mode), card, folder, config, history and metrics."""

    path: Path
    config: TrainConfig
    history: History
    metrics: Mapping[str, Any]

    @property
    def known_data(self) -> KnownData:
        """What tells whether data is that which the run was trained on."""
        return KnownData(self.card.data_checksum, self.card.class_names)

    def load_dataset(
        self,
        data: str | None = None,
        *,
        data_dir: str | Path | None = None,
        allow_unverified: bool | None = None,
        is_own: bool | None = None,
    ) -> Dataset:
        """The data that the run was trained on, or other data of the same classes, with the run's mean and std; grey
        images become colour for a model of colour images.

        Args:
            data, data_dir, allow_unverified: as in `load_dataset`; None: as the run had them (`data_dir`: for its own).
            is_own: whether this is the run's own data, in another place perhaps, so that what the run excluded is left
                out here, too; None: where `data` is None, or what the run had.

        Raises:
            RunError: the other data has other classes or another image shape than the model was trained for.
        """
        config = self.config
        is_same_place = data is None or source_name(data) == config.data
        if is_own is None:
            is_own = is_same_place
        chosen = config.data if data is None else data
        if allow_unverified is None:
            allow_unverified = config.allow_unverified and obeys(chosen, "allow_unverified")
        dataset = load_dataset(
            chosen,
            data_dir=config.data_dir if data_dir is None and is_same_place else data_dir,
            allow_unverified=allow_unverified,
            skip_unreadable=config.skip_unreadable and obeys(chosen, "skip_unreadable"),
            white_levels=scale_for(self.card.white_levels),
            in_colour=self.card.image_shape[0] == 3,
            image_size=self.card.image_shape[1],
            val_fraction=config.val_fraction,
            split_seed=config.split_seed,
            exclude=RunDir(self.path).exclusions(config) if is_own else None,
        )
        check_fits(self.card, dataset)
        dataset = dataset.with_statistics(self.card.mean, self.card.std)
        return dataset.without_mirror() if config.flip is False else dataset


@dataclass(frozen=True)
class RunDir:
    """The folder of one run."""

    path: Path

    @property
    def is_complete(self) -> bool:
        """Whether the run came to its end: metrics.json is there."""
        return (self.path / METRICS).exists()

    def write(self, name: str, content: bytes | str) -> None:
        """Write one file of the folder, atomically."""
        try:
            write_atomically(self.path / name, content)
        except OSError as error:
            raise RunError(
                f"{self.path / name} cannot be written: {error}", hint="check space and permissions"
            ) from error

    def write_json(self, name: str, values: Mapping[str, Any]) -> None:
        self.write(name, json.dumps(values, indent=2) + "\n")

    def write_config(self, config: TrainConfig, *, note: str = "") -> None:
        """config.toml, with what a reader should know first as comments."""
        comments = "".join(f"# {escaped(line)}\n" for line in note.splitlines())
        self.write(CONFIG, comments + config_to_toml(config))

    def read_config(self, name: str = CONFIG) -> TrainConfig:
        return config_from_toml(self._read_text(name), name=str(self.path / name))

    def keep_exclusions(self, config: TrainConfig) -> None:
        """excluded.csv, a copy of the file that the config excludes by, so that the run does not need that any more."""
        if config.exclude is not None:
            self.write(EXCLUDED, Path(config.exclude).read_bytes())

    def exclusions(self, config: TrainConfig) -> str | None:
        """The file that the config excludes by: the folder's copy where there is one."""
        kept = self.path / EXCLUDED
        return str(kept) if config.exclude is not None and kept.exists() else config.exclude

    def keep_data_note(self, note: str) -> None:
        """data-note.txt: why the data stands in for other data, which the config, naming the former, does not tell."""
        if note:
            self.write(DATA_NOTE, f"{note}\n")

    def data_note(self) -> str:
        """What `keep_data_note` kept."""
        return self._read_text(DATA_NOTE).rstrip("\n") if (self.path / DATA_NOTE).exists() else ""

    def keep_skipped(self, skipped: Sequence[str]) -> None:
        """skipped.txt: the files that could not be read and were left out (`skip_unreadable`), if any."""
        if skipped:
            self.write(SKIPPED, "".join(f"{name}\n" for name in skipped))

    def write_checkpoint(self, checkpoint: Checkpoint) -> None:
        """checkpoint-last.pt: tensors, numbers and texts only, so that loading it runs no code. Then history.csv."""
        buffer = io.BytesIO()
        torch.save(
            {
                "epoch": checkpoint.state.epoch,
                "model": dict(checkpoint.state.model),
                "optimizer": dict(checkpoint.state.optimizer),
                "average": None if checkpoint.state.average is None else dict(checkpoint.state.average),
                "history": checkpoint.state.history.to_rows(),
                "data_checksum": checkpoint.known_data.checksum,
                "class_names": list(checkpoint.known_data.class_names),
                "total_s": checkpoint.total_s,
            },
            buffer,
        )
        self.write(CHECKPOINT, buffer.getvalue())
        self.write(HISTORY, checkpoint.state.history.to_csv())

    def read_checkpoint(self) -> Checkpoint | None:
        """The last checkpoint, None where there is none; CheckpointError where it is damaged."""
        path = self.path / CHECKPOINT
        if not path.exists():
            return None
        try:
            saved = torch.load(path, map_location="cpu", weights_only=True)
            history = history_from_rows(saved["history"])
            state = TrainingState(saved["epoch"], saved["model"], saved["optimizer"], history, saved.get("average"))
            known_data = KnownData(saved["data_checksum"], tuple(saved["class_names"]))
            return Checkpoint(state, known_data, saved["total_s"])
        except (RuntimeError, UnpicklingError, EOFError, KeyError, TypeError, zipfile.BadZipFile) as error:
            raise CheckpointError(
                f"the checkpoint {path} is damaged: {error}", hint="delete it: --resume then starts the run again"
            ) from error

    def write_weights(self, weights: Mapping[str, Tensor]) -> None:
        """model.safetensors: tensors only, so equal weights are equal bytes."""
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}
        self.write(WEIGHTS, safetensors.torch.save(tensors))

    def write_card(self, card: ModelCard) -> None:
        self.write_json(MODEL_CARD, asdict(card))

    def write_predictions(self, predictions: Predictions, split: Split, class_names: tuple[str, ...]) -> None:
        self.write(PREDICTIONS, predictions_to_csv(predictions, split, class_names))

    def read_predictions(self) -> Answers:
        """What predictions.csv says of every test image; RunError where it is not there or is damaged."""
        text = self._read_text(PREDICTIONS)
        try:
            return answers_from_csv(text)
        except ValueError as error:
            raise RunError(f"{self.path / PREDICTIONS} is damaged: {error}", hint="train again") from error

    def read_json(self, name: str) -> dict[str, Any]:
        try:
            values: dict[str, Any] = json.loads(self._read_text(name))
        except json.JSONDecodeError as error:
            raise RunError(f"{self.path / name} is damaged: {error}", hint="train again, or resume the run") from error
        return values

    def _read_text(self, name: str) -> str:
        try:
            return (self.path / name).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise RunError(f"{self.path / name} cannot be read: {error}", hint="is this a run folder?") from error


def create_run_dir(
    recipe: str, path: str | Path | None = None, *, parent: str | Path = "runs", option: str = RUN_DIR_OPTION
) -> RunDir:
    """A new folder for a run: `path`, which must be new or empty, or `parent/<recipe>-<n>` with the next free n.

    `option` is what the command calls `path`, for the hints of errors.
    """
    try:
        if path is not None:
            chosen = Path(path)
            chosen.mkdir(parents=True, exist_ok=True)
            if any(chosen.iterdir()):
                or_else = ", or go on with --resume" if option == RUN_DIR_OPTION else ""
                raise RunError(f"the folder {chosen} is not empty", hint=f"name a new one with {option}{or_else}")
            check_writable(chosen)
            return RunDir(chosen)
        number = 1
        while True:
            chosen = Path(parent) / f"{recipe}-{number}"
            try:
                chosen.mkdir(parents=True)
            except FileExistsError:
                number += 1
            else:
                return RunDir(chosen)
    except OSError as error:
        raise RunError(
            f"the folder {chosen} cannot be created: {error}", hint=f"name one that you may write, with {option}"
        ) from error


def open_run_dir(path: str | Path) -> RunDir:
    """The folder of a run that was begun before; RunError where it is none."""
    folder = RunDir(Path(path))
    if not (folder.path / CONFIG).exists():
        runs = sorted(inner.name for inner in folder.path.glob("seed-*") if (inner / CONFIG).exists())
        hint = f"give one of the runs in it: {', '.join(runs)}" if runs else "give a folder that `train` made"
        raise RunError(f"{path} is not a run folder: it has no {CONFIG}", hint=hint)
    return folder


def load_run(path: str | Path) -> Run:
    """A finished run, with its trained model on the CPU.

    Raises:
        RunError: no such run, or it is not finished; CheckpointError: its weights are damaged or do not fit.
    """
    folder = open_run_dir(path)
    if not folder.is_complete:
        raise RunError(f"the run {path} is not finished", hint=f"finish it with: thumbnet train --resume {path}")
    config = folder.read_config()
    card = _read_card(folder)
    model = create_from_card(card)
    load_weights(model, folder.path / WEIGHTS)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # as in training: the same to the last bit
    history = history_from_csv(folder._read_text(HISTORY))
    return Run(model.eval(), card, folder.path, config, history, folder.read_json(METRICS))


def read_robustness(folder: RunDir) -> Robustness | None:
    """The run's robustness, None where it was not measured; RunError where the file is damaged."""
    path = folder.path / ROBUSTNESS
    if not path.exists():
        return None
    try:
        return robustness_from_dict(json.loads(folder._read_text(ROBUSTNESS)))
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise RunError(
            f"{path} is damaged: {error!r}", hint=f"measure again: thumbnet evaluate {folder.path} --robustness"
        ) from error


def _read_card(folder: RunDir) -> ModelCard:
    return card_from_dict(folder.read_json(MODEL_CARD), name=str(folder.path / MODEL_CARD))


def check_writable(path: Path) -> None:
    """RunError where no file can be made in the folder."""
    probe = path / ".probe"
    try:
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise RunError(f"the folder {path} cannot be written: {error}", hint="check its permissions") from error
