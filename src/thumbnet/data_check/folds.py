"""Predictions for images by models that were not trained on them: repeated k-fold training with a recipe.

In each repeat the training images are divided anew, class by class, into folds; for each fold a model is trained on all
the others and predicts it. Two views of an image are averaged if a flip keeps the label, and so are the repeats: the
images are ranked better, and the confidence is more honest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int64, UInt8
from sklearn.model_selection import StratifiedKFold
from torch import Tensor, nn

from thumbnet.config import TrainConfig
from thumbnet.data.dataset import Dataset
from thumbnet.data.divide import divide, fold_numbers
from thumbnet.data.streamed import chosen_of
from thumbnet.data_check.outliers import outlyingness
from thumbnet.errors import ConfigError, DataError, ModelError
from thumbnet.evaluation.predictions import flipped, predict_logits
from thumbnet.models.weights import HEAD_PREFIX
from thumbnet.runs.jobs.all_values import all_values
from thumbnet.runs.jobs.job import Job, Setting
from thumbnet.runs.parts import build_model, build_progress, fit_config
from thumbnet.runs.resolve import load_data, say_nothing, speaker
from thumbnet.specs.at_once import ONE_AFTER_THE_OTHER, AtOnce
from thumbnet.specs.checks import MAX_RUNS
from thumbnet.specs.data import ARRAYS
from thumbnet.terminal.text import counted
from thumbnet.training.progress import LogStyle
from thumbnet.training.stopping import OnEpochEnd

NUM_FOLDS = 4  # a model then sees three quarters of the images, and a repeat costs as much as three whole trainings
NUM_REPEATS = 3


@dataclass(frozen=True)
class OutOfFold:
    """Of each training image, in order: the classes' probabilities and how far it lies from others (`outlyingness`), by
    models that were not trained on it."""

    probabilities: Float[np.ndarray, "n k"]
    relative_distances: Float[np.ndarray, " n"]


def predict_out_of_fold(
    config: TrainConfig,
    dataset: Dataset,
    *,
    num_folds: int = NUM_FOLDS,
    num_repeats: int = NUM_REPEATS,
    log_style: LogStyle = "auto",
    at_once: AtOnce = ONE_AFTER_THE_OTHER,
) -> OutOfFold:
    """Train `num_folds` x `num_repeats` models with a resolved config; each predicts the images it has not seen.

    Their seeds are `config.seed`, `config.seed + 1`, ... `dataset.val` and `dataset.test` are not used. `at_once` says
    how many are trained at once, and where.

    Raises:
        ConfigError: fewer than two folds or no repeat, or a config with trained weights or a teacher, which may have
            seen the images; DataError: a class has fewer images, or groups, than there are folds;
            JobsFailedError: of those that were trained at once, one failed, or its process died twice.
    """
    check_folds(config, dataset, num_folds=num_folds, num_repeats=num_repeats)
    say = speaker(log_style)
    labels = dataset.train.labels.numpy()
    probabilities = np.zeros((len(labels), dataset.num_classes))
    distances = np.zeros(len(labels))
    checksum = "" if at_once.is_one_after_the_other else dataset.checksum()
    trainings = [
        _Training(config, None, repeat, fold, num_folds, log_style, dataset.flip_keeps_labels, checksum)
        for repeat in range(num_repeats)
        for fold in range(num_folds)
    ]
    for training, answer in zip(trainings, _answers(trainings, dataset, at_once, say), strict=True):
        _, unseen = training.parts(dataset)
        probabilities[unseen] += answer.probabilities
        distances[unseen] += outlyingness(answer.features, labels[unseen])
    return OutOfFold(probabilities / num_repeats, distances / num_repeats)


@dataclass(frozen=True)
class _Training:
    """One of the trainings with a resolved config; as a job, the data is read anew unless it is only in memory."""

    config: TrainConfig
    dataset: Dataset | None
    repeat: int
    fold: int
    num_folds: int
    log_style: LogStyle
    flip_keeps_labels: bool
    checksum: str

    @property
    def number(self) -> int:
        return self.repeat * self.num_folds + self.fold

    def parts(self, dataset: Dataset) -> tuple[np.ndarray, np.ndarray]:
        """The images to train on, and those held out."""
        return list(_folds(dataset, self.num_folds, seed=self.config.seed + self.repeat))[self.fold]

    def answer(self, dataset: Dataset, on_epoch_end: OnEpochEnd | None = None) -> _Answer:
        seen, unseen = self.parts(dataset)
        part = dataset.with_train(dataset.train.select(seen.tolist()))
        config = self.config.replace(seed=self.config.seed + self.number)
        model = _train(config, part, log_style=self.log_style, on_epoch_end=on_epoch_end)
        return _ask(model, chosen_of(dataset.train.images, torch.from_numpy(unseen)), dataset)

    def __call__(self, setting: Setting) -> _Answer:
        dataset = self.dataset
        if dataset is None:
            read, _ = load_data(self.config, say=say_nothing, is_resolved=True)
            dataset = replace(read, flip_keeps_labels=self.flip_keeps_labels)  # a resolved config only says what flips
        if dataset.checksum() != self.checksum:
            raise DataError("the images or labels are not those that the check began with", hint="check again")
        return self.answer(dataset, setting.on_epoch_end)


def _answers(
    trainings: Sequence[_Training], dataset: Dataset, at_once: AtOnce, say: Callable[[str], None]
) -> Iterator[_Answer]:
    """That of each, in order."""
    if at_once.is_one_after_the_other:
        for training in trainings:
            where = f"fold {training.fold + 1} of {training.num_folds}"
            say(f"Training {training.number + 1} of {len(trainings)}: {where} is held out.")
            yield training.answer(dataset)
        return
    sent = dataset if dataset.source.name == ARRAYS else None
    jobs = [Job(f"training {each.number + 1}", replace(each, dataset=sent)) for each in trainings]
    threads = trainings[0].config.engine.threads
    hint = "check again: nothing is kept of the others"
    for value in all_values(jobs, at_once, threads=threads, say=say, hint=hint):
        assert isinstance(value, _Answer)
        yield value


def _folds(dataset: Dataset, num_folds: int, *, seed: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The images to train on and those held out, fold by fold, class by class and without parting a group."""
    labels = dataset.train.labels
    if dataset.train.groups is None:
        folds = StratifiedKFold(num_folds, shuffle=True, random_state=seed % 2**32)
        yield from folds.split(labels.numpy(), labels.numpy())
        return
    sizes = labels.bincount(minlength=dataset.num_classes).tolist()
    parts = divide(
        labels,
        dataset.train.groups,
        fold_numbers(sizes, num_folds),
        seed=seed,
        class_names=dataset.class_names,
    ).numpy()
    for fold in range(num_folds):
        yield np.flatnonzero(parts != fold), np.flatnonzero(parts == fold)


def refuse_known_weights(config: TrainConfig) -> None:
    """ConfigError where models would begin with weights, or learn from a teacher, that may know the images."""
    for name, value in (("init", config.init), ("teacher", config.objective.teacher)):
        if value is not None:
            raise ConfigError(
                f"{name} is {value!r}, which may have seen the images that are to be checked",
                hint=f"leave {name} out",
            )


def check_folds(config: TrainConfig, dataset: Dataset, *, num_folds: int, num_repeats: int) -> None:
    """Raise what `predict_out_of_fold` would, before anything is trained."""
    if num_folds < 2:
        raise ConfigError(f"folds is {num_folds}", hint="give at least 2: each image is left out of a training once")
    if not 1 <= num_repeats <= MAX_RUNS:
        raise ConfigError(f"repeats is {num_repeats}", hint=f"give 1 to {MAX_RUNS}")
    config.replace(seed=config.seed + num_folds * num_repeats - 1)  # that of the last training
    refuse_known_weights(config)
    counts: Int64[Tensor, " k"] = dataset.train.labels.bincount(minlength=dataset.num_classes)
    rarest = int(counts.argmin())
    if counts[rarest] < num_folds:
        raise DataError(
            f"class {dataset.class_names[rarest]!r} has {counted(int(counts[rarest]), 'image')} for {num_folds} folds",
            hint="every fold needs an image of each class: give fewer --folds, or add images",
        )
    if dataset.train.groups is not None:
        for repeat in range(num_repeats):
            list(_folds(dataset, num_folds, seed=config.seed + repeat))


def _train(config: TrainConfig, dataset: Dataset, *, log_style: LogStyle, on_epoch_end: OnEpochEnd | None) -> nn.Module:
    model = build_model(config, dataset)
    progress = build_progress(config, dataset, log_style)
    fit_config(config, dataset, model, progress=progress, on_epoch_end=on_epoch_end)
    return model


class _Answer(NamedTuple):
    """Probabilities of the views' mean logits, and what the layer that gives the logits was given in the first view."""

    probabilities: Float[np.ndarray, "n k"]
    features: Float[np.ndarray, "n d"]


def _ask(model: nn.Module, images: UInt8[Tensor, "n c h w"], dataset: Dataset) -> _Answer:
    with _collecting_head_inputs(model) as collected:
        logits = predict_logits(model, images, mean=dataset.mean, std=dataset.std)
    views = [logits]
    if dataset.flip_keeps_labels:
        views.append(predict_logits(model, images, mean=dataset.mean, std=dataset.std, change=flipped))
    probabilities = torch.stack(views).double().mean(dim=0).softmax(dim=1)
    return _Answer(probabilities.numpy(), torch.cat(collected).numpy())


def _layer_of_logits(model: nn.Module) -> nn.Module:
    """The layer called `head`; of a network of the user's that has none, its last linear layer.

    Raises:
        ModelError: it has neither.
    """
    modules = dict(model.named_modules())
    layers = [module for module in modules.values() if isinstance(module, nn.Linear)]
    head: nn.Module | None = modules.get(HEAD_PREFIX.removesuffix("."), layers[-1] if layers else None)
    if head is None:
        raise ModelError(
            f"{type(model).__name__} has no layer called head, and no linear layer",
            hint="call the layer that gives the logits `head`: what it is given tells which images are unusual",
        )
    return head


@contextmanager
def _collecting_head_inputs(model: nn.Module) -> Iterator[list[Tensor]]:
    collected: list[Tensor] = []
    hook = _layer_of_logits(model).register_forward_pre_hook(
        lambda _, inputs: collected.append(inputs[0].flatten(1).float().cpu())
    )
    try:
        yield collected
    finally:
        hook.remove()
