"""A config resolved: its data loaded, and what was `auto` or to be computed written out."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path

from thumbnet.config import AUTO_INIT, TrainConfig
from thumbnet.data.batches import num_batches
from thumbnet.data.dataset import Dataset
from thumbnet.data.originals import picture_sides
from thumbnet.data.own_sources import data_folder
from thumbnet.data.source_registry import obeys
from thumbnet.data.sources import load_dataset
from thumbnet.errors import ConfigError
from thumbnet.evaluation.metrics import standard_error
from thumbnet.recipes import load_recipe
from thumbnet.runs.given_data import as_it_was_read, check_given
from thumbnet.runs.init import options_to_train, with_statistics_of_weights
from thumbnet.runs.known_images import describe_known_images
from thumbnet.runs.side_limits import sides_for
from thumbnet.runs.size_advice import advise_size
from thumbnet.runs.which import is_pretrained_name
from thumbnet.specs.data import PICTURE_SOURCES, DataSpec
from thumbnet.specs.inputs import Inputs
from thumbnet.specs.objective import Objective
from thumbnet.specs.own_code import resolved_reference
from thumbnet.specs.sizes import ANY_SIDE, as_image_size
from thumbnet.terminal.streams import tell
from thumbnet.terminal.text import counted
from thumbnet.training.body import engine_for_body
from thumbnet.training.inputs import resolve_inputs
from thumbnet.training.progress import LogStyle

Say = Callable[[str], None]


def load_data(
    config: TrainConfig,
    *,
    say: Say,
    dataset: Dataset | None = None,
    is_resolved: bool = False,
    advises: bool = True,
) -> tuple[Dataset, TrainConfig]:
    """The dataset that a config asks for, and the config resolved: what was `auto` or computed is written out.

    A `dataset` that was read before is taken instead; ConfigError where it is another than the config asks for. The
    resolved config says how it was read.
    `is_resolved`: the config was resolved before, so that `init` is not looked for in the working directory again.
    `advises`: of pictures that are read now, say what a larger image size would cost, unless the size is `auto`.
    """
    advises = advises and dataset is None and not is_resolved and config.image_size != "auto"
    if dataset is None:
        dataset = load_dataset(
            config.data,
            data_dir=config.data_dir,
            allow_unverified=config.allow_unverified,
            image_size=config.image_size,
            fit=config.fit,
            val_fraction=config.val_fraction,
            val_per_class=config.val_per_class,
            split_seed=config.split_seed,
            groups=config.division.groups,
            folds=config.division.folds,
            fold=config.division.fold,
            exclude=config.exclude,
            num_train=config.num_train,
            skip_unreadable=config.skip_unreadable,
            labels=config.labels,
            show_progress=say is not say_nothing,
            auto_sides=sides_for(config) if config.image_size == "auto" else ANY_SIDE,
        )
    else:
        check_given(dataset, config)
        config = config if is_resolved else as_it_was_read(config, dataset)
    for sentence in (dataset.source.note, *dataset.source.remarks):
        if sentence:
            say(sentence)
    sides = picture_sides(dataset) if advises else None
    advice = "" if sides is None else advise_size(config, dataset, sides)
    if advice:
        say(advice)
    if config.init not in (None, AUTO_INIT) and (config.mean is None or not is_resolved):
        known = describe_known_images(str(config.init), dataset)
        config, adapted = with_statistics_of_weights(config, dataset)
        for remark in (adapted, known):
            if remark and remark not in dataset.source.remarks:
                say(remark)
                dataset = dataset.with_remark(remark)
    dataset = _with_given_statistics(dataset, config, say=say)
    if config.inputs.flip is False:
        dataset = dataset.without_flips()  # for whatever else would flip images: data check, test-time augmentation
    return dataset, resolve_config(config, dataset, is_resolved=is_resolved)


def resolved_init(init: str | None) -> str | None:
    """A run's folder as a whole path, a pretrained model's name and `auto` as they are; an existing folder wins."""
    is_name = init in (None, AUTO_INIT) or is_pretrained_name(str(init))
    return init if is_name else str(Path(str(init)).resolve())


def resolve_config(config: TrainConfig, dataset: Dataset, *, is_resolved: bool = False) -> TrainConfig:
    """The config as it is for this dataset: what was `auto` or is to be computed is written out.

    Where it `is_resolved` before, what depends on the working directory, or on a choice that earlier versions did not
    make, stays as it was.
    """
    source = dataset.source.name
    uses_data_dir = obeys(source, "data_dir")
    steps_per_epoch = num_batches(len(dataset.train), config.batch_size)
    model = resolved_reference(config.model)
    return config.replace(
        model=model,
        epochs=_num_epochs(config, steps_per_epoch),
        min_steps=None,
        model_options=config.model_options
        if is_resolved
        else options_to_train(
            config.replace(model=model), sides=dataset.image_shape[1:], num_channels=dataset.num_channels
        ),
        data=source,
        labels=dataset.labels_from if obeys(source, "labels") else config.labels,
        image_size=as_image_size(dataset.image_shape[1:]) if config.image_size == "auto" else config.image_size,
        allow_unverified=config.allow_unverified and obeys(source, "allow_unverified"),  # the digits verify nothing
        data_dir=str(data_folder(config.data_dir).resolve()) if uses_data_dir else None,
        val_fraction=dataset.val_fraction,
        val_per_class=dataset.val_per_class or None,
        division=dataset.division,
        exclude=None if config.exclude is None else str(Path(config.exclude).resolve()),
        init=config.init if is_resolved else resolved_init(config.init),
        mean=dataset.mean,
        std=dataset.std,
        inputs=_resolved_code(resolve_inputs(config.inputs, dataset)),
        objective=_resolved_objective(config.objective),
        report_robustness=(
            DataSpec(source).name in PICTURE_SOURCES if config.report_robustness == "auto" else config.report_robustness
        ),
        engine=engine_for_body(config.engine, config.body_lr_factor),
    )


def _num_epochs(config: TrainConfig, steps_per_epoch: int) -> int:
    """The epochs of a training; the last of them is a short one where steps are given that do not fill it."""
    if config.minutes is not None:
        raise ConfigError(
            f"the recipe {config.recipe!r} plans a training of {counted(config.minutes, 'minute')}, and this is none",
            hint="give epochs, or name another recipe",
        )
    if config.pace is None:
        return max(config.epochs, math.ceil((config.min_steps or 0) / steps_per_epoch))
    epochs = math.ceil(config.pace.num_steps / steps_per_epoch)
    if config.epochs not in (0, epochs):
        raise ConfigError(
            f"epochs is {config.epochs}, but {config.pace.num_steps:,} steps are {epochs:,} epochs of "
            f"{steps_per_epoch:,} steps here",
            hint="leave epochs or steps out",
        )
    return epochs


def execute_own_code(config: TrainConfig) -> None:
    """Execute the files of the user's own that a config names: a run's copy of such a file needs no trust then.

    Raises:
        ConfigError: as `resolved_reference`.
    """
    for name in (config.model, config.inputs.augmentation):
        if isinstance(name, str):
            resolved_reference(name)


def _resolved_code(inputs: Inputs) -> Inputs:
    """With an augmentation of the user's own, its file's name and digest."""
    assert isinstance(inputs.augmentation, str)
    return dataclasses.replace(inputs, augmentation=resolved_reference(inputs.augmentation))


def _resolved_objective(objective: Objective) -> Objective:
    """With a teacher, its run's whole path and the numbers written out."""
    if isinstance(objective.teacher, str):
        objective = dataclasses.replace(objective, teacher=str(Path(objective.teacher).resolve()))
    return objective.resolved()


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
    excluded = (
        f"Left out: {counted(dataset.num_excluded, 'image')} that a file lists (exclude)."
        if dataset.num_excluded
        else ""
    )
    source = dataset.source
    description = f"Data: {source.description}"
    lines = [source.note, description, verified[source.verified], excluded, describe_val(dataset), *source.remarks]
    return "\n".join(line for line in lines if line)


def describe_val(dataset: Dataset) -> str:
    """How far figures on the validation images can be trusted; empty where none are held out."""
    if dataset.val is None:
        return ""
    error = standard_error(0.5, len(dataset.val))
    return (
        f"Validation: {counted(len(dataset.val), 'image')}; the standard error of an accuracy on them is at most "
        f"{100 * error:.1f} points."
    )


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
