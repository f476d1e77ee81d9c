"""The main path: from a config to a run folder with a trained model, its figures and its pictures."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from torch import nn

from thumbnet.config import TrainConfig
from thumbnet.data.dataset import Dataset
from thumbnet.data.known import KnownData
from thumbnet.errors import CheckpointError
from thumbnet.evaluation.metrics import evaluate, scorers
from thumbnet.prepare import (
    Say,
    begin_with_trained_weights,
    build_model,
    build_progress,
    build_teacher_logits,
    check_sizes,
    describe_data,
    fit_config,
    load_data,
    scored_splits,
    speaker,
)
from thumbnet.recipes import load_recipe
from thumbnet.results import write_metrics, write_results
from thumbnet.run_dir import Checkpoint, Run, RunDir, create_run_dir, load_run, open_run_dir
from thumbnet.runs.changes import check_accepted, config_changes
from thumbnet.runs.environment import Environment, environment_of, using_threads
from thumbnet.runs.names import CONFIG
from thumbnet.specs.engine import Device
from thumbnet.teacher import load_teacher
from thumbnet.training.device import pick_device
from thumbnet.training.inputs import build_augmentations
from thumbnet.training.kernels import pick_kernels
from thumbnet.training.lr_finder import LrTrial, find_lr
from thumbnet.training.optimizers import build_optimizer
from thumbnet.training.progress import LogStyle
from thumbnet.training.state import TrainingState


def train(
    config: TrainConfig | None = None,
    *,
    run_dir: str | Path | None = None,
    log_style: LogStyle = "auto",
    pictures: bool = True,
    dataset: Dataset | None = None,
) -> Run:
    """Train as `config` says (None: the default recipe) and leave a run folder.

    Args:
        config: from `load_recipe`, for instance.
        run_dir: a new or empty folder; None: `runs/<recipe>-<n>`.
        log_style: `auto` picks what suits the place, `reference` prints the published log lines, `silent` nothing.
        pictures: draw network, curves, confusion matrix and misclassified images, and write report.html; False: leave
            all of these out (`write_report` makes the report later).
        dataset: the data, read before by `load_dataset` with the config's data, val_fraction, split_seed and exclude;
            None: it is read now.

    Returns:
        Run: the finished run, as `load_run` gives it.

    Raises:
        ThumbnetError: the config, the data, the model, the folder or the training fails; its hint says what to do.
    """
    config = load_recipe() if config is None else config
    return begin(config, run_dir=run_dir, log_style=log_style, pictures=pictures, dataset=dataset)


def begin(
    config: TrainConfig,
    *,
    run_dir: str | Path | None,
    log_style: LogStyle,
    pictures: bool,
    asked: TrainConfig | None = None,
    dataset: Dataset | None = None,
    data_note: str = "",
    beside: Run | None = None,
) -> Run:
    """Like `train`.

    `asked` is the config as a user gave it, if `config` was resolved before; `data_note` is recorded if the data
    replaces other data; with `beside`, the data must equal that run's.
    """
    say = speaker(log_style)
    asked = config if asked is None else asked
    dataset, config = load_checked(config, say=say, dataset=dataset)  # refused before there is a folder
    if beside is not None:
        beside.known_data.check(dataset, begun=beside.path)
    dataset = dataset.with_note(dataset.source.note or data_note)
    with create_run_dir(config.recipe, run_dir, data=config.data) as folder:
        folder.begin(config, asked=asked, source=dataset.source, note=describe_data(dataset))
        say(f"Run folder: {folder.path}")
        model = build_model(config, dataset)
        return _train_in(folder, config, dataset, model, log_style=log_style, pictures=pictures)


def load_checked(config: TrainConfig, *, say: Say, dataset: Dataset | None = None) -> tuple[Dataset, TrainConfig]:
    """Load the data, unless it is given, and resolve the config; raise here whatever `train` would reject."""
    pick_device(config.engine.device)
    dataset, config = load_data(config, say=say, dataset=dataset)
    check_trainable(config, dataset, say=say)
    return dataset, config


def check_trainable(config: TrainConfig, dataset: Dataset, *, say: Say) -> None:
    """Whatever would be refused in training with a resolved config: its ThumbnetError, but now."""
    model = build_model(config, dataset)
    begin_with_trained_weights(model, config, dataset)
    build_optimizer(config.optimizer, model)
    engine = config.engine
    pick_kernels(engine.kernels, model, pick_device(engine.device), compiled=engine.compiled, say=say)
    build_augmentations(config.inputs, dataset)
    check_sizes(config, dataset)
    if isinstance(config.objective.teacher, str):
        load_teacher(config.objective.teacher, dataset)


def resume(
    run_dir: str | Path,
    *,
    data: str | None = None,
    data_dir: str | Path | None = None,
    device: Device | None = None,
    log_style: LogStyle = "auto",
    pictures: bool = True,
    accept_changes: bool = False,
    dataset: Dataset | None = None,
) -> Run:
    """Go on with a run that was stopped, to the same end as if it never had been; a finished one is just loaded.

    Args:
        run_dir: its folder. Without a checkpoint in it, the run starts again from its config.
        data, data_dir: where its data is now, if not as recorded; both as in `load_dataset`. config.toml then names
            that place, also of a finished run.
        device: what to compute on now, if not as recorded.
        log_style, pictures, dataset: as in `train`.
        accept_changes: go on although the config was edited, or although device, precision, kernels, number of threads,
            processor or PyTorch's version are others than before: the end is then another one, and metrics.json has a
            list `resumed_with_changes`.

    Raises:
        CheckpointError: the checkpoint is damaged, or something is different; or the data is not that which the run was
            begun on; or `data` is given, and there is no checkpoint that tells which that was.
        RunError: another process is training it.
    """
    return go_on(
        run_dir,
        data=data,
        data_dir=data_dir,
        device=device,
        log_style=log_style,
        pictures=pictures,
        accept_changes=accept_changes,
        dataset=dataset,
    )


def go_on(
    run_dir: str | Path,
    *,
    data: str | None,
    data_dir: str | Path | None,
    device: Device | None,
    log_style: LogStyle,
    pictures: bool,
    accept_changes: bool,
    dataset: Dataset | None = None,
    beside: Run | None = None,
) -> Run:
    """Like `resume`; if the run has no checkpoint, its data must equal that of `beside`."""
    say = speaker(log_style)
    folder = open_run_dir(run_dir)
    is_moved = data is not None or data_dir is not None
    if folder.is_complete and not is_moved:
        return _say_finished(load_run(folder.path), say)
    with folder.locked():
        finished = load_run(folder.path) if folder.is_complete else None  # by another process meanwhile, perhaps
        edited = [] if folder.is_as_written(CONFIG) else [f"{CONFIG} was edited"]
        begun = folder.read_config(may_be_edited=True)
        checkpoint = None if finished is not None else folder.read_checkpoint()
        if checkpoint is not None and checkpoint.config is not None:
            edited = config_changes(checkpoint.config, begun) or edited
        check_accepted(edited, folder=folder.path, accept_changes=accept_changes)
        known_data = None if checkpoint is None else checkpoint.known_data
        witness = finished if finished is not None else beside
        if known_data is None and witness is not None:
            known_data = witness.known_data
        if data is not None and known_data is None:
            raise CheckpointError(
                f"data is {data!r}, but {folder.path} has no checkpoint that tells what data it was begun on",
                hint="leave --data out, or begin a new run",
            )
        config = elsewhere(begun, data=data, data_dir=data_dir, device=device)
        config = config.replace(exclude=folder.exclusions(config))
        dataset, config = load_data(config, say=say, dataset=dataset)
        if known_data is not None:
            known_data.check(dataset, begun=folder.path)
        dataset = dataset.with_note(folder.data_note())
        recorded = Environment() if checkpoint is None else checkpoint.environment
        with using_threads(recorded.num_threads, say=say):
            model = build_model(config, dataset)
            changes = [] if checkpoint is None else recorded.differences(environment_of(config, model))
            check_accepted(changes, folder=folder.path, accept_changes=accept_changes)
            if is_moved or edited:
                moved = begun.replace(data=config.data, data_dir=config.data_dir)
                folder.write_config(moved, note=describe_data(dataset))
            folder.add_checksum(CONFIG)
            if finished is not None:
                return _say_finished(load_run(folder.path), say)
            if checkpoint is not None and checkpoint.config is None:
                say("Its checkpoint is of an earlier version and records no threads and kernels: they may differ.")
            done = 0 if checkpoint is None else checkpoint.state.epoch
            say(f"Resuming {folder.path} after epoch {done} of {config.epochs}.")
            changes = [f"from epoch {done + 1} on: {change}" for change in (*edited, *changes)]
            return _train_in(
                folder,
                config,
                dataset,
                model,
                log_style=log_style,
                pictures=pictures,
                checkpoint=checkpoint,
                changes=changes,
            )


def _say_finished(run: Run, say: Say) -> Run:
    say(f"{run.path} is finished: nothing to resume.")
    return run


def elsewhere(
    config: TrainConfig, *, data: str | None, data_dir: str | Path | None, device: Device | None
) -> TrainConfig:
    """A run's config for a place where its data or the device is another; what is None stays as it is."""
    if data not in (None, config.data):
        config = config.replace(data=data, data_dir=None)
    changes = {"data_dir": None if data_dir is None else str(data_dir), "device": device}
    return config.replace(**{name: value for name, value in changes.items() if value is not None})


def find_recipe_lr(config: TrainConfig, *, log_style: LogStyle = "auto") -> LrTrial:
    """The learning rate that the LR finder gives for a recipe's model, data, batch size and optimizer."""
    dataset, config = load_data(config, say=speaker(log_style))
    model = build_model(config, dataset)
    begin_with_trained_weights(model, config, dataset)
    return find_lr(
        model,
        dataset,
        batch_size=config.batch_size,
        optimizer=config.optimizer,
        inputs=config.inputs,
        label_smoothing=config.objective.label_smoothing,
        init_from_data=config.init is None,
        seed=config.seed,
        device=config.engine.device,
    )


def _train_in(
    folder: RunDir,
    config: TrainConfig,
    dataset: Dataset,
    model: nn.Module,
    *,
    log_style: LogStyle,
    pictures: bool,
    checkpoint: Checkpoint | None = None,
    changes: Sequence[str] = (),
) -> Run:
    """Train the new `model`, or go on from the checkpoint, after accepted `changes`; then write what a run leaves."""
    begin_s = time.perf_counter() - (0.0 if checkpoint is None else checkpoint.total_s)
    known_data = KnownData.of(dataset)
    environment = environment_of(config, model)
    changes = (*(() if checkpoint is None else checkpoint.changes), *changes)

    def keep(state: TrainingState) -> None:
        total_s = time.perf_counter() - begin_s
        folder.write_checkpoint(Checkpoint(state, known_data, total_s, config, environment, changes))

    if checkpoint is None:
        begin_with_trained_weights(model, config, dataset)
    result = fit_config(
        config,
        dataset,
        model,
        teacher=build_teacher_logits(config, dataset, say=speaker(log_style)),
        scorers=scorers(dataset, *scored_splits(config, dataset)),
        progress=build_progress(config, dataset, log_style),
        on_epoch_end=keep,
        resume_from=None if checkpoint is None else checkpoint.state,
    )
    evaluation = result.scores["test"] if "test" in result.scores else evaluate(model, dataset, "test")
    metrics = write_results(
        folder,
        config=config,
        dataset=dataset,
        model=model,
        result=result,
        evaluation=evaluation,
        data_checksum=known_data.checksum,
        pictures=pictures,
    )
    if changes:
        metrics["resumed_with_changes"] = list(changes)
    write_metrics(folder, metrics, total_s=time.perf_counter() - begin_s, device=result.device)
    return load_run(folder.path)
