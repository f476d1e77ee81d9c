"""From a config to what training needs: data, model, augmentation, schedule, progress; what was `auto` is resolved."""

from __future__ import annotations

import dataclasses
import json
import math
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from torch import nn

from thumbnet.augment import RandomCrop
from thumbnet.config import TrainConfig
from thumbnet.data.batches import num_batches
from thumbnet.data.dataset import Dataset
from thumbnet.data.own_sources import data_folder
from thumbnet.data.source_registry import obeys, source_name
from thumbnet.data.sources import load_dataset
from thumbnet.errors import ConfigError, ModelError
from thumbnet.model_card import TrainedModel, load_pretrained
from thumbnet.models.pretrained import list_pretrained
from thumbnet.models.registry import check_image_size, create_with_options, resolved_options
from thumbnet.models.weights import load_all_but_head
from thumbnet.recipes import load_recipe
from thumbnet.run_dir import load_run
from thumbnet.specs.objective import Objective
from thumbnet.specs.schedules import StepSchedule
from thumbnet.teacher import load_teacher, load_teacher_logits
from thumbnet.terminal.streams import tell
from thumbnet.training.distillation import TeacherLogits
from thumbnet.training.fit import NO_SCORERS, fit
from thumbnet.training.inputs import build_augmentations, resolve_inputs
from thumbnet.training.progress import LogStyle, Progress, ReferenceLog, Silent, pick_progress
from thumbnet.training.result import FitResult, S
from thumbnet.training.state import TrainingState

Say = Callable[[str], None]


def load_data(config: TrainConfig, *, say: Say, dataset: Dataset | None = None) -> tuple[Dataset, TrainConfig]:
    """The dataset that a config asks for, and the config resolved: what was `auto` or computed is written out.

    A `dataset` that was read before is taken instead; ConfigError where it is another than the config asks for.
    """
    if dataset is None:
        dataset = load_dataset(
            config.data,
            data_dir=config.data_dir,
            allow_unverified=config.allow_unverified,
            image_size=config.image_size,
            val_fraction=config.val_fraction,
            split_seed=config.split_seed,
            exclude=config.exclude,
            skip_unreadable=config.skip_unreadable,
            show_progress=say is not say_nothing,
        )
    else:
        _check_given(dataset, config)
    for sentence in (dataset.source.note, *dataset.source.remarks):
        if sentence:
            say(sentence)
    if config.init is not None and config.mean is None:
        card = load_init(config.init).card
        if len(card.mean) == dataset.num_channels:
            config = config.replace(mean=card.mean, std=card.std)  # the images as its weights know them
    dataset = _with_given_statistics(dataset, config, say=say)
    if config.inputs.flip is False:
        dataset = dataset.without_mirror()  # for what else would mirror images: a check of the data, several views
    return dataset, resolve_config(config, dataset)


def _check_given(dataset: Dataset, config: TrainConfig) -> None:
    """ConfigError where the dataset is another than the one that the config asks for."""
    wanted: dict[str, object] = {"val_fraction": config.val_fraction, "split_seed": config.split_seed}
    given: dict[str, object] = {"val_fraction": dataset.val_fraction, "split_seed": dataset.split_seed}
    if config.data != "auto":
        wanted["data"], given["data"] = source_name(config.data), dataset.source.name
    for name, value in wanted.items():
        if given[name] != value:
            raise ConfigError(
                f"{name} is {value!r}, but the dataset that was given has {given[name]!r}",
                hint="leave dataset out, or read it with load_dataset as the config says",
            )
    if (config.exclude is None) != (dataset.num_excluded == 0):
        raise ConfigError(
            f"exclude is {config.exclude!r}, but the dataset that was given leaves {dataset.num_excluded} images out",
            hint="leave dataset out, or read it with load_dataset as the config says",
        )


def _resolved_init(init: str | None) -> str | None:
    """A run's folder as a whole path; a pretrained model's name as it is."""
    return init if init is None or init in list_pretrained() else str(Path(init).resolve())


def load_init(init: str) -> TrainedModel:
    """The trained model that `init` names: one that comes with the package, or a finished run's."""
    if init in list_pretrained():
        return load_pretrained(init)
    if not Path(init).is_dir():
        raise ConfigError(
            f"init is {init!r}, which is neither a pretrained model nor a folder",
            hint=f"choose one of {', '.join(list_pretrained())}, or give a run's folder",
        )
    return load_run(init)


def begin_with_trained_weights(model: nn.Module, config: TrainConfig, dataset: Dataset) -> None:
    """Put the weights that `config.init` names in `model`, whose head stays new; without `init`, nothing is done.

    Raises:
        ConfigError: they are of another model, one with other options, or for another number of channels.
    """
    if config.init is None:
        return
    trained = load_init(config.init)
    known, wanted = (trained.card.model, trained.card.image_shape[0]), (config.model, dataset.num_channels)
    if known != wanted:
        raise ConfigError(
            f"init is of model {known[0]} for {known[1]} channels, but this is {wanted[0]} for {wanted[1]}",
            hint="give --model the model of the trained weights, and images with as many channels",
        )
    known_options = resolved_options(config.model, trained.card.model_options)
    wanted_options = resolved_options(config.model, config.model_options)
    if known_options != wanted_options:
        settings = " ".join(f"--set model_options.{name}={json.dumps(value)}" for name, value in known_options.items())
        raise ConfigError(
            f"init is of a {config.model} with the options {known_options}, but this is one with {wanted_options}",
            hint=f"make the same network: {settings}",
        )
    load_all_but_head(model, trained.model.state_dict())


def resolve_config(config: TrainConfig, dataset: Dataset) -> TrainConfig:
    """The config as it is for this dataset: what was `auto` or is to be computed is written out."""
    source = dataset.source.name
    uses_data_dir = obeys(source, "data_dir")
    steps_per_epoch = num_batches(len(dataset.train), config.batch_size)
    return config.replace(
        epochs=max(config.epochs, math.ceil((config.min_steps or 0) / steps_per_epoch)),
        min_steps=None,
        model_options=resolved_options(config.model, config.model_options),
        data=source,
        allow_unverified=config.allow_unverified and obeys(source, "allow_unverified"),  # the digits verify nothing
        data_dir=str(data_folder(config.data_dir).resolve()) if uses_data_dir else None,
        exclude=None if config.exclude is None else str(Path(config.exclude).resolve()),
        init=_resolved_init(config.init),
        mean=dataset.mean,
        std=dataset.std,
        inputs=resolve_inputs(config.inputs, dataset),
        objective=_resolved_objective(config.objective),
    )


def _resolved_objective(objective: Objective) -> Objective:
    """With a teacher, its run's whole path and the numbers written out."""
    if isinstance(objective.teacher, str):
        objective = dataclasses.replace(objective, teacher=str(Path(objective.teacher).resolve()))
    return objective.resolved()


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
    for side in dataset.image_shape[1:]:
        check_image_size(config.model, side)
    return create_with_options(
        config.model,
        config.model_options,
        num_classes=dataset.num_classes,
        in_channels=dataset.num_channels,
        image_size=dataset.image_shape[1],
        seed=config.seed,
    )


def check_sizes(config: TrainConfig, dataset: Dataset) -> None:
    """ConfigError where progressive resizing begins with smaller images than the config's model can take."""
    _, height, width = dataset.image_shape
    try:
        for side in config.inputs.resizing.sides((height, width), 0, 1):
            check_image_size(config.model, side)
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
    on_epoch_end: Callable[[TrainingState], None] | None = None,
    resume_from: TrainingState | None = None,
) -> FitResult[S]:
    """`fit` with a resolved config's values; `teacher` are the logits of the config's teacher, if it has one."""
    return fit(
        model,
        dataset,
        epochs=config.epochs,
        batch_size=config.batch_size,
        optimizer=config.optimizer,
        schedule=config.schedule,
        inputs=config.inputs,
        objective=dataclasses.replace(config.objective, teacher=teacher) if teacher is not None else config.objective,
        average_decay=config.average_decay,
        engine=config.engine,
        init_from_data=config.init is None,
        seed=config.seed,
        scorers=scorers,
        progress=progress,
        on_epoch_end=on_epoch_end,
        resume_from=resume_from,
    )


def scored_splits(config: TrainConfig, dataset: Dataset) -> tuple[str, ...]:
    """What is scored after every epoch: validation where there is one, the test set only where the recipe says so."""
    splits: tuple[str, ...] = () if dataset.val is None else ("val",)
    return (*splits, "test") if config.score_test == "each-epoch" else splits


def build_progress(config: TrainConfig, dataset: Dataset, log_style: LogStyle) -> Progress:
    """Who is told of the training."""
    if log_style == "silent":
        return Silent()
    if log_style == "auto":
        return pick_progress()
    stepped, schedule = None, config.schedule
    if isinstance(schedule, StepSchedule) and schedule.num_drops is not None:
        stepped = schedule.step_epochs * schedule.num_drops + 1
    return ReferenceLog(sys.stderr, num_test_images=len(dataset.test), last_stepped_epoch=stepped)


def speaker(log_style: LogStyle) -> Say:
    """Where sentences for people go: stderr, or nowhere."""
    if log_style not in ("auto", "reference", "silent"):
        raise ConfigError(f"unknown log style {log_style!r}", hint="choose auto, reference or silent")
    return say_nothing if log_style == "silent" else tell


def say_nothing(text: str) -> None:
    """Where sentences go in silence."""


def describe_data(dataset: Dataset) -> str:
    """What the data is, whether it was verified, and why it stands in for other data if it does: lines for people."""
    verified = {True: "", False: "These are NOT the official files (--allow-unverified).", None: ""}
    excluded = f"Left out: {dataset.num_excluded:,} images that a file lists (exclude)." if dataset.num_excluded else ""
    source = dataset.source
    lines = [source.note, f"Data: {source.description}", verified[source.verified], excluded, *source.remarks]
    return "\n".join(line for line in lines if line)


def _with_given_statistics(dataset: Dataset, config: TrainConfig, *, say: Say) -> Dataset:
    """The dataset with the config's mean and std, if it gives them; a colour recipe's own do not bind grey images."""
    if config.mean is None or config.std is None:
        return dataset
    if len(config.mean) != dataset.num_channels and _is_from_recipe(config):
        say(
            f"The recipe's mean and std are for {len(config.mean)} channels and these images have "
            f"{dataset.num_channels}: they are computed from the training images instead."
        )
        return dataset
    return dataset.with_statistics(config.mean, config.std)


def _is_from_recipe(config: TrainConfig) -> bool:
    """Whether the config's mean and std are those that its named recipe states, rather than the user's own."""
    try:
        recipe = load_recipe(config.recipe)
    except ConfigError:  # a file of the user's own
        return False
    return (recipe.mean, recipe.std) == (config.mean, config.std)
