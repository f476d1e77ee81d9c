"""The main path: from a config to a run folder with a trained model, its figures and its pictures."""

from __future__ import annotations

import time
from pathlib import Path

from thumbnet.config import Device, TrainConfig
from thumbnet.data.dataset import Dataset
from thumbnet.data.known import KnownData
from thumbnet.errors import CheckpointError
from thumbnet.evaluation.metrics import evaluate
from thumbnet.prepare import (
    Say,
    begin_with_trained_weights,
    build_growth,
    build_lessons,
    build_model,
    build_policy,
    build_progress,
    describe_data,
    fit_arguments,
    load_data,
    optimizer_arguments,
    scored_splits,
    speaker,
)
from thumbnet.recipes import load_recipe
from thumbnet.results import write_metrics, write_results
from thumbnet.run_dir import Checkpoint, Run, RunDir, create_run_dir, load_run, open_run_dir
from thumbnet.teacher import load_teacher
from thumbnet.training.device import pick_device
from thumbnet.training.fit import TrainingState, fit
from thumbnet.training.kernels import pick_kernels
from thumbnet.training.lr_finder import LrTrial, find_lr
from thumbnet.training.optimizers import create_optimizer
from thumbnet.training.progress import LogStyle


def train(
    config: TrainConfig | None = None,
    *,
    run_dir: str | Path | None = None,
    log_style: LogStyle = "auto",
    pictures: bool = True,
) -> Run:
    """Train as `config` says (None: the default recipe) and leave a run folder.

    Args:
        config: from `load_recipe`, for instance.
        run_dir: a new or empty folder; None: `runs/<recipe>-<n>`.
        log_style: `auto` picks what suits the place, `reference` prints the published log lines, `silent` nothing.
        pictures: draw network, curves, confusion matrix and misclassified images, and write report.html; False: leave
            all of these out (`write_report` makes the report later).

    Returns:
        Run: the finished run, as `load_run` gives it.

    Raises:
        ThumbnetError: the config, the data, the model, the folder or the training fails; its hint says what to do.
    """
    config = load_recipe() if config is None else config
    return begin(config, run_dir=run_dir, log_style=log_style, pictures=pictures)


def begin(
    config: TrainConfig,
    *,
    run_dir: str | Path | None,
    log_style: LogStyle,
    pictures: bool,
    data_note: str = "",
    beside: Run | None = None,
) -> Run:
    """As `train`, of data that is known to stand in for other data where there is a note, and must be that of the run
    `beside` this one where there is one."""
    say = speaker(log_style)
    dataset, config = load_checked(config, say=say)  # refused before there is a folder
    if beside is not None:
        beside.known_data.check(dataset, begun=beside.path)
    dataset = dataset.with_note(dataset.source.note or data_note)
    folder = create_run_dir(config.recipe, run_dir)
    folder.write_config(config, note=describe_data(dataset))  # first: it makes the folder a run
    folder.keep_exclusions(config)
    folder.keep_data_note(dataset.source.note)
    folder.keep_skipped(dataset.source.skipped)
    say(f"Run folder: {folder.path}")
    return _train_in(folder, config, dataset, log_style=log_style, pictures=pictures, checkpoint=None)


def load_checked(config: TrainConfig, *, say: Say) -> tuple[Dataset, TrainConfig]:
    """The data of a config and the config resolved, as `load_data`, where `train` would refuse none of it."""
    pick_device(config.device)
    dataset, config = load_data(config, say=say)
    check_trainable(config, dataset, say=say)
    return dataset, config


def check_trainable(config: TrainConfig, dataset: Dataset, *, say: Say) -> None:
    """Whatever would be refused in training with a resolved config: its ThumbnetError, but now."""
    model = build_model(config, dataset)
    begin_with_trained_weights(model, config, dataset)
    rates = optimizer_arguments(config)
    create_optimizer(rates.pop("optimizer"), model, **rates)
    pick_kernels(config.kernels, model, pick_device(config.device), compiled=config.compiled, say=say)
    for augmentation in build_policy(config, dataset):
        augmentation.check(dataset.image_shape)
    build_growth(config, dataset)
    if config.teacher is not None:
        load_teacher(config.teacher, dataset)


def resume(
    run_dir: str | Path,
    *,
    data: str | None = None,
    data_dir: str | Path | None = None,
    device: Device | None = None,
    log_style: LogStyle = "auto",
    pictures: bool = True,
) -> Run:
    """Go on with a run that was stopped, to the same end as if it never had been; a finished one is just loaded.

    Args:
        run_dir: its folder. Without a checkpoint in it, the run starts again from its config.
        data, data_dir: where its data is now, if not as recorded; both as in `load_dataset`. config.toml then names
            that place, also of a finished run.
        device: what to compute on now, if not as recorded.
        log_style, pictures: as in `train`.

    Raises:
        CheckpointError: the checkpoint is damaged, or the data is not that which the run was begun on; or `data` is
            given, and there is no checkpoint that tells which that was.
    """
    return go_on(run_dir, data=data, data_dir=data_dir, device=device, log_style=log_style, pictures=pictures)


def go_on(
    run_dir: str | Path,
    *,
    data: str | None,
    data_dir: str | Path | None,
    device: Device | None,
    log_style: LogStyle,
    pictures: bool,
    beside: Run | None = None,
) -> Run:
    """As `resume`; where the run has no checkpoint, the run `beside` this one tells what its data is."""
    say = speaker(log_style)
    folder = open_run_dir(run_dir)
    is_moved = data is not None or data_dir is not None
    finished = load_run(folder.path) if folder.is_complete else None
    if finished is not None and not is_moved:
        return _say_finished(finished, say)
    begun = folder.read_config()
    checkpoint = None if finished is not None else folder.read_checkpoint()
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
    dataset, config = load_data(config, say=say)
    if known_data is not None:
        known_data.check(dataset, begun=folder.path)
    dataset = dataset.with_note(folder.data_note())
    if is_moved:
        moved = begun.replace(data=config.data, data_dir=config.data_dir)
        folder.write_config(moved, note=describe_data(dataset))
    if finished is not None:
        return _say_finished(load_run(folder.path), say)
    done = 0 if checkpoint is None else checkpoint.state.epoch
    say(f"Resuming {folder.path} after epoch {done} of {config.epochs}.")
    return _train_in(folder, config, dataset, log_style=log_style, pictures=pictures, checkpoint=checkpoint)


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
        **optimizer_arguments(config),
        batch_size=config.batch_size,
        label_smoothing=config.label_smoothing,
        augmentation=build_policy(config.replace(alternating_flip=False), dataset),  # the same within one epoch
        is_trained=config.init is not None,
        seed=config.seed,
        device=config.device,
    )


def _train_in(
    folder: RunDir,
    config: TrainConfig,
    dataset: Dataset,
    *,
    log_style: LogStyle,
    pictures: bool,
    checkpoint: Checkpoint | None,
) -> Run:
    begin_s = time.perf_counter() - (0.0 if checkpoint is None else checkpoint.total_s)
    known_data = KnownData.of(dataset)

    def keep(state: TrainingState) -> None:
        folder.write_checkpoint(Checkpoint(state, known_data, time.perf_counter() - begin_s))

    model = build_model(config, dataset)
    if checkpoint is None:
        begin_with_trained_weights(model, config, dataset)
    lessons = build_lessons(config, dataset, say=speaker(log_style))
    history = fit(
        model,
        dataset,
        epochs=config.epochs,
        **fit_arguments(config, dataset),
        lessons=lessons,
        score=scored_splits(config, dataset),
        progress=build_progress(config, dataset, log_style),
        on_epoch_end=keep,
        resume_from=None if checkpoint is None else checkpoint.state,
    )
    evaluation = evaluate(model, dataset, "test")
    metrics = write_results(
        folder,
        config=config,
        dataset=dataset,
        model=model,
        history=history,
        evaluation=evaluation,
        data_checksum=known_data.checksum,
        pictures=pictures,
    )
    device = next(model.parameters()).device
    write_metrics(folder, metrics, total_s=time.perf_counter() - begin_s, device=device)
    return load_run(folder.path)
