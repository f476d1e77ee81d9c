"""A training in its run folder: a checkpoint after each epoch, then what a run leaves."""

from __future__ import annotations

import time
from collections.abc import Sequence

from torch import nn

from thumbnet.config import TrainConfig
from thumbnet.data.dataset import Dataset
from thumbnet.runs.environment import environment_of
from thumbnet.runs.fit_and_write import fit_and_write
from thumbnet.runs.init import begin_with_trained_weights
from thumbnet.runs.known_data import KnownData
from thumbnet.runs.results import write_metrics
from thumbnet.runs.run import Checkpoint, Run, RunDir, load_run
from thumbnet.training.clock import Clock
from thumbnet.training.progress import LogStyle
from thumbnet.training.state import TrainingState


def train_in_folder(
    folder: RunDir,
    config: TrainConfig,
    dataset: Dataset,
    model: nn.Module,
    *,
    log_style: LogStyle,
    pictures: bool,
    checkpoint: Checkpoint | None = None,
    changes: Sequence[str] = (),
    clock: Clock | None = None,
) -> Run:
    """Train the new `model`, or go on from the checkpoint, after accepted `changes`; then write what a run leaves.

    With a `clock`, the pace changes as it says; config.toml gets the one that was followed in the end.
    """
    begin_s = time.perf_counter() - (0.0 if checkpoint is None else checkpoint.total_s)
    known_data = KnownData.of(dataset)
    environment = environment_of(config, model)
    changes = (*(() if checkpoint is None else checkpoint.changes), *changes)

    def keep(state: TrainingState) -> None:
        total_s = time.perf_counter() - begin_s
        folder.write_checkpoint(Checkpoint(state, known_data, total_s, config, environment, changes))

    if checkpoint is None:
        begin_with_trained_weights(model, config, dataset)

    metrics, fitted_on = fit_and_write(
        folder,
        config,
        dataset,
        model,
        data_checksum=known_data.checksum,
        log_style=log_style,
        pictures=pictures,
        on_epoch_end=keep,
        resume_from=None if checkpoint is None else checkpoint.state,
        clock=clock,
    )
    if changes:
        metrics["resumed_with_changes"] = list(changes)
    write_metrics(folder, metrics, total_s=time.perf_counter() - begin_s, device=fitted_on)
    return load_run(folder.path)
