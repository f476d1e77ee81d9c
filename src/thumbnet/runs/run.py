"""A finished run, read back from its folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from thumbnet.config import TrainConfig
from thumbnet.data.dataset import Dataset
from thumbnet.data.source_registry import fit_for, obeys, source_name
from thumbnet.data.sources import load_dataset
from thumbnet.data.white_levels import scale_for
from thumbnet.errors import CheckpointError, RunError
from thumbnet.kernels.scoring import remember_kernels
from thumbnet.models.registry import num_params
from thumbnet.models.weights import put_weights
from thumbnet.runs.files.checkpoint import Checkpoint
from thumbnet.runs.files.checksums import Digests, read_digests
from thumbnet.runs.files.folder import RunDir, read_robustness
from thumbnet.runs.files.metrics import check_metrics
from thumbnet.runs.files.names import (
    ASKED,
    CHECKSUMS,
    CONFIG,
    EXPORT_DATA,
    HISTORY,
    LOCK,
    MAKE_A_RUN,
    METRICS,
    MODEL_CARD,
    PREDICTIONS,
    REPORT,
    ROBUSTNESS,
    ROBUSTNESS_PLOT,
    VAL_LOGITS,
    WEIGHTS,
    is_temporary,
)
from thumbnet.runs.files.new_folder import RUN_DIR_OPTION, create_run_dir
from thumbnet.runs.files.on_disk import check_writable, names_in
from thumbnet.runs.known_data import KnownData
from thumbnet.runs.which import hint_for_no_run
from thumbnet.specs.json_text import FORMAT
from thumbnet.specs.own_code import give_again
from thumbnet.specs.trust import takes_trust
from thumbnet.terminal.text import quoted
from thumbnet.trained.data import prepared_for
from thumbnet.trained.model import TrainedModel, create_from_card
from thumbnet.training.history import History

__all__ = [
    "CONFIG",
    "HISTORY",
    "METRICS",
    "PREDICTIONS",
    "REPORT",
    "ROBUSTNESS",
    "ROBUSTNESS_PLOT",
    "Checkpoint",
    "Run",
    "RunDir",
    "check_writable",
    "create_run_dir",
    "load_run",
    "open_run_dir",
    "read_robustness",
]

CHECKED_WHEN_FINISHED = (ASKED, CONFIG, HISTORY, WEIGHTS, MODEL_CARD, EXPORT_DATA, PREDICTIONS, METRICS, VAL_LOGITS)


@dataclass(frozen=True)
class Run(TrainedModel):
    """A finished run, read back: its trained model (in evaluation mode), card, folder, config, history and metrics.

    `asked` is the config as it was asked for, before it was resolved; None for runs of earlier versions.
    """

    path: Path
    config: TrainConfig
    history: History
    metrics: Mapping[str, object]
    asked: TrainConfig | None = None

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
            is_own: whether this is the run's own data, in another place perhaps, so that it is divided as the run
                divided it, and what the run excluded is left out; None: where `data` is None, or what the run had.

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
            labels=config.labels if is_own and obeys(chosen, "labels") else "auto",
            in_colour=self.card.image_shape[0] == 3,
            image_size=self.card.image_size,
            fit=fit_for(chosen, self.card.fit),
            val_fraction=config.val_fraction,
            val_per_class=config.val_per_class,
            split_seed=config.split_seed,
            groups=RunDir(self.path).groups(config) if is_own else "off",
            folds=config.division.folds if is_own else None,
            fold=config.division.fold if is_own else None,
            exclude=RunDir(self.path).exclusions(config) if is_own else None,
            num_train=config.num_train if is_own else None,
        )
        return self.prepared(dataset)

    def prepared(self, dataset: Dataset) -> Dataset:
        """A dataset as `prepared_for` gives it, never flipped where the run's config says so."""
        dataset = prepared_for(self.card, dataset)
        return dataset.without_flips() if self.config.inputs.flip is False else dataset


def open_run_dir(path: str | Path) -> RunDir:
    """The folder of an existing run; RunError if it is none."""
    folder = RunDir(Path(path))
    if not (folder.path / CONFIG).exists():
        hint = hint_for_no_run(path, otherwise="give a folder that `train` made")
        names = names_in(folder.path) if folder.path.is_dir() else []
        is_begun = any(name == LOCK or is_temporary(name) for name in names)
        if is_begun and not MAKE_A_RUN & set(names):  # of several runs, it is one that was killed
            hint = f"it was stopped before anything was trained: begin it anew with {RUN_DIR_OPTION} {quoted(path)}"
        raise RunError(f"{path} is not a run folder: it has no {CONFIG}", hint=hint)
    return folder


@takes_trust
def load_run(path: str | Path, *, trust_code: bool = False, model: object = None) -> Run:
    """A finished run, with its trained model on the CPU.

    Args:
        trust_code: execute the code of the user's own that the run was trained with, if it was.
        model: the class, function or module that was given to `train`, of a run whose model is in no file.

    Raises:
        RunError: no such run, it is not finished, or a file of it is damaged or was changed; CheckpointError: its
            weights are, or do not fit.
    """
    folder = open_run_dir(path)
    if not folder.is_complete:
        raise RunError(
            f"the run {path} is not finished", hint=f"finish it with: thumbnet train --resume {quoted(path)}"
        )
    config, asked = folder.read_config(), folder.read_asked()
    give_again(config.model, model)
    card, history, metrics = folder.read_card(), folder.read_history(), folder.read_metrics()
    check_metrics(metrics, name=str(folder.path / METRICS), num_epochs=len(history))
    number = metrics.get(FORMAT, 1)
    if isinstance(number, int) and number > 1:
        _check_complete(folder.path, read_digests(folder.path))
    folder.allow_code(card.model)
    network = create_from_card(card)
    if num_params(network) != card.num_params:
        raise RunError(
            f"{folder.path / MODEL_CARD} is damaged: num_params is {card.num_params}, but the model has "
            f"{num_params(network)}",
            hint="restore it from a copy, or train again",
        )
    put_weights(network, folder.read_checked(WEIGHTS, error=CheckpointError), name=str(folder.path / WEIGHTS))
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # as in training: the same to the last bit
    by_pytorch = metrics.get("kernels") == "pytorch" and metrics.get("device") == "cpu"
    remember_kernels(network, "pytorch" if by_pytorch else config.engine.kernels)
    return Run(network.eval(), card, folder.path, config, history, metrics, asked)


def _check_complete(folder: Path, digests: Digests) -> None:
    missing = [name for name in CHECKED_WHEN_FINISHED if name not in digests and (folder / name).exists()]
    if missing:
        raise RunError(
            f"{folder / CHECKSUMS} is damaged or missing: it has no checksum of {missing[0]}",
            hint="restore it from a copy, or train again",
        )
