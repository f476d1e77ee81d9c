"""A training in its run folder: a checkpoint after each epoch that is scored, then what a run leaves."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import nn

from thumbnet.config import TrainConfig
from thumbnet.data.dataset import Dataset
from thumbnet.runs.environment import environment_of
from thumbnet.runs.fit_and_write import fit_and_write
from thumbnet.runs.init import begin_with_trained_weights
from thumbnet.runs.known_data import KnownData
from thumbnet.runs.loggers import opened_logs
from thumbnet.runs.planning.reasons import describe_longest
from thumbnet.runs.ranks import describe_ranks
from thumbnet.runs.refit import describe_refit
from thumbnet.runs.resolve import speaker
from thumbnet.runs.run import Checkpoint, Run, RunDir, load_run
from thumbnet.runs.stopping import announce_stopping, describe_stopping
from thumbnet.training.clock import Clock
from thumbnet.training.device import peak_memory_bytes
from thumbnet.training.history import History
from thumbnet.training.progress import LogStyle
from thumbnet.training.ranks import num_ranks_now
from thumbnet.training.state import TrainingState
from thumbnet.training.stopping import STOP, OnEpochEnd, Stop


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
    on_epoch_end: OnEpochEnd | None = None,
    loggers: Sequence[str] = (),
) -> Run:
    """Train the new `model`, or go on from the checkpoint, after accepted `changes`; then write what a run leaves.

    With a `clock`, the pace changes as it says; config.toml gets the one that was followed in the end.
    """
    begin_s = time.perf_counter() - (0.0 if checkpoint is None else checkpoint.total_s)
    known_data = KnownData.of(dataset)
    environment = environment_of(config, model)
    changes = (*(() if checkpoint is None else checkpoint.changes), *changes)

    say, resume_from = speaker(log_style), None if checkpoint is None else checkpoint.state

    def keep(state: TrainingState) -> None:
        total_s = time.perf_counter() - begin_s
        folder.write_checkpoint(Checkpoint(state, known_data, total_s, config, environment, changes))

    if checkpoint is None:
        begin_with_trained_weights(model, config, dataset)
    plan = None if clock is None else folder.read_plan()
    minutes = None if plan is None else plan.minutes
    if announced := announce_stopping(config, minutes, has_several_labels=dataset.has_several_labels):
        say(announced)
    if described := describe_ranks(config, torch.get_num_threads()):
        say(described)
    history = History() if resume_from is None else resume_from.history
    with opened_logs(loggers, folder.path, history=history, score_every=config.score_every) as logs:

        def epoch_ends(state: TrainingState) -> Stop | None:
            keep(state)
            logs.epochs_end(state.history)
            answer = None if on_epoch_end is None else on_epoch_end(state)
            if answer is STOP:  # so that it is known where the process ends before the run does
                keep(replace(state, stopped_by="callback"))
            return answer

        metrics, fitted_on, followed = fit_and_write(
            folder,
            config,
            dataset,
            model,
            data_checksum=known_data.checksum,
            log_style=log_style,
            pictures=pictures,
            on_epoch_end=epoch_ends,
            resume_from=resume_from,
            clock=clock,
        )
        logs.run_ends(metrics)
    of_refit = describe_refit(followed, metrics, num_train=len(dataset.train))
    for sentence in (*describe_stopping(followed, metrics), *of_refit, *describe_longest(plan, [metrics])):
        say(sentence)
    if num_ranks_now() > 1:
        metrics["num_ranks"] = num_ranks_now()
    if changes:
        metrics["resumed_with_changes"] = list(changes)
    metrics["peak_memory_bytes"] = peak_memory_bytes(torch.device(fitted_on))
    metrics["total_s"] = time.perf_counter() - begin_s
    folder.write_metrics(metrics)  # last: it says that the run is complete
    return load_run(folder.path)
