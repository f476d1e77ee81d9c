"""The parts of a training that a resolved config describes: model, augmentation, schedule, progress."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Mapping

from torch import nn

from thumbnet.augment import RandomCrop
from thumbnet.config import TrainConfig
from thumbnet.data.dataset import Dataset
from thumbnet.errors import ConfigError, ModelError
from thumbnet.kernels.scoring import remember_kernels
from thumbnet.models.registry import check_image_size, create_with_options
from thumbnet.runs.resolve import Say
from thumbnet.runs.teacher import load_teacher, load_teacher_logits
from thumbnet.specs.fine_tuning import FineTuning
from thumbnet.specs.schedules import StepSchedule
from thumbnet.specs.stopping import Stopping
from thumbnet.training.clock import Clock
from thumbnet.training.distillation import TeacherLogits
from thumbnet.training.fit import NO_SCORERS, fit
from thumbnet.training.inputs import build_augmentations
from thumbnet.training.length import Length
from thumbnet.training.progress import LogStyle, Progress, Silent
from thumbnet.training.progress_displays import ReferenceLog, pick_progress
from thumbnet.training.ranks import Ranks, SharedEngine
from thumbnet.training.result import FitResult, S
from thumbnet.training.state import TrainingState
from thumbnet.training.stopping import OnEpochEnd


def build_teacher_logits(config: TrainConfig, dataset: Dataset, *, say: Say) -> TeacherLogits | None:
    """The logits of a resolved config's teacher for the training images; None if it has no teacher."""
    teacher = config.objective.teacher
    if not isinstance(teacher, str):
        return None
    crop = build_augmentations(config.inputs, dataset)[0]
    assert isinstance(crop, RandomCrop)
    return load_teacher_logits(
        load_teacher(teacher, dataset),
        dataset,
        crop,
        flips=config.inputs.flip is True,
        device=config.engine.device,
        precision=config.engine.precision,
        say=say,
    )


def build_model(config: TrainConfig, dataset: Dataset) -> nn.Module:
    """The config's model for the dataset's classes, channels and image size, with weights drawn from the seed."""
    model = create_with_options(
        config.model,
        config.model_options,
        num_classes=dataset.num_classes,
        in_channels=dataset.num_channels,
        image_size=dataset.image_shape[1:],
        seed=config.seed,
    )
    remember_kernels(model, config.engine.kernels)
    return model


def check_sizes(config: TrainConfig, dataset: Dataset) -> None:
    """ConfigError where progressive resizing begins with smaller images than the config's model can take."""
    _, height, width = dataset.image_shape
    try:
        for side in config.inputs.resizing.sides((height, width), 0, 1):
            check_image_size(config.model, side, config.model_options)
    except ModelError as error:
        raise ConfigError(
            f"the images begin with {config.inputs.scales[0]:g} times their size (scales), and {error.message}",
            hint="set scales = [1.0] and scale_starts = [0.0], or choose another model",
        ) from error


def fit_config(
    config: TrainConfig,
    dataset: Dataset,
    model: nn.Module,
    *,
    progress: Progress,
    teacher: TeacherLogits | None = None,
    scorers: Mapping[str, Callable[[nn.Module], S]] = NO_SCORERS,
    on_epoch_end: OnEpochEnd | None = None,
    resume_from: TrainingState | None = None,
    clock: Clock | None = None,
    ranks: Ranks | None = None,
) -> FitResult[S]:
    """`fit` with a resolved config's values; `teacher` are the logits of the config's teacher, if it has one; with a
    `clock`, the pace is changed as it says. Without scorers, as a short training that something is chosen by, it goes
    on to its end."""
    return fit(
        model,
        dataset,
        epochs=Length(
            epochs=None if config.steps is not None else config.epochs,
            pace=config.pace,
            clock=clock,
            score_every=config.score_every,
            stopping=config.stopping if scorers else Stopping(),
        ),
        batch_size=config.batch_size,
        optimizer=config.optimizer,
        schedule=config.schedule,
        inputs=config.inputs,
        objective=dataclasses.replace(config.objective, teacher=teacher) if teacher is not None else config.objective,
        average_decay=config.average_decay,
        fine_tuning=None if config.init is None else FineTuning(body_lr_factor=config.body_lr_factor),
        engine=config.engine if ranks is None else SharedEngine(config.engine, ranks),
        seed=config.seed,
        scorers=scorers,
        progress=progress,
        on_epoch_end=on_epoch_end,
        resume_from=resume_from,
    )


def scored_splits(config: TrainConfig, dataset: Dataset) -> tuple[str, ...]:
    """The splits scored after every epoch: validation, if any, and the test set only if the recipe says so."""
    splits: tuple[str, ...] = () if dataset.val is None else ("val",)
    return (*splits, "test") if config.score_test == "each-epoch" else splits


def build_progress(config: TrainConfig, dataset: Dataset, log_style: LogStyle) -> Progress:
    """The progress that reports steps and epochs."""
    if log_style == "silent":
        return Silent()
    if log_style == "auto":
        return pick_progress()
    stepped, schedule = None, config.schedule
    if isinstance(schedule, StepSchedule) and schedule.num_drops is not None:
        stepped = schedule.step_epochs * schedule.num_drops + 1
    return ReferenceLog(sys.stderr, num_test_images=len(dataset.test), last_stepped_epoch=stepped)
