"""TRAINING: the loop. A model and a dataset in, a history out; every epoch can be resumed from exactly.

Nothing random survives an epoch: shuffling, augmentation and dropout are drawn from the seed and the epoch's number
(see docs/decisions/), so the state to resume from is the model, the optimizer and the history.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from thumbnet.augment import Augmentation
from thumbnet.data.batches import memory_order, num_batches
from thumbnet.data.dataset import Dataset
from thumbnet.errors import CheckpointError
from thumbnet.evaluation.metrics import evaluate
from thumbnet.training.alternating import AlternatingFlip
from thumbnet.training.averaging import WeightAverage
from thumbnet.training.checks import check_arguments, check_lessons, check_mirroring
from thumbnet.training.device import keep_freed_memory, pick_device, pick_precision
from thumbnet.training.distillation import Lessons
from thumbnet.training.epoch import Loop, train_epoch
from thumbnet.training.forecast import Forecast
from thumbnet.training.growth import Growth
from thumbnet.training.history import EpochRecord, History
from thumbnet.training.inputs import default_policy, show_images
from thumbnet.training.kernels import pick_kernels, runs_fully_fused, using_kernels
from thumbnet.training.optimizers import create_optimizer
from thumbnet.training.progress import Progress, pick_progress
from thumbnet.training.schedules import OneCycle, Schedule
from thumbnet.training.state_checks import check_finite, check_state_fits, finite_at

ScoredSplit = Literal["val", "test"]
RANDOM_SCHEMES = (1,)


@dataclass(frozen=True)
class TrainingState:
    """All that is needed to go on after an epoch: tensors, numbers and texts only.

    `average` is that of the weights; `random_scheme` says how shuffling and augmentation are drawn from the seed and
    the epoch (docs/decisions/0003-randomness.md).
    """

    epoch: int
    model: Mapping[str, Tensor]
    optimizer: Mapping[str, Any]
    history: History
    average: Mapping[str, Tensor] | None = None
    random_scheme: int = 1


def fit(
    model: nn.Module,
    dataset: Dataset,
    *,
    epochs: int,
    batch_size: int = 128,
    optimizer: str = "sgd",
    lr: float = 0.1,
    momentum: float = 0.9,
    nesterov: bool = False,
    weight_decay: float = 0.0,
    vector_lr: float | None = None,
    vector_momentum: float | None = None,
    head_lr: float | None = None,
    label_smoothing: float = 0.0,
    schedule: Schedule | None = None,
    augmentation: str | Sequence[Augmentation] = "crop-flip",
    alternating_flip: bool = False,
    growth: Growth | None = None,
    mixup: float = 0.0,
    average_decay: float = 0.0,
    lessons: Lessons | None = None,
    is_trained: bool = False,
    seed: int = 0,
    device: str = "auto",
    precision: str = "float32",
    kernels: str = "auto",
    compiled: bool = False,
    score: Sequence[ScoredSplit] = (),
    progress: Progress | None = None,
    on_epoch_end: Callable[[TrainingState], None] | None = None,
    resume_from: TrainingState | None = None,
) -> History:
    """Train `model` in place on `dataset.train`, to lower the cross-entropy of its logits.

    Args:
        model: takes normalised float images [N,C,H,W], returns logits [N,K]; it is moved to the device.
        epochs: passes over the training images, those before `resume_from` included.
        optimizer, momentum, nesterov, weight_decay, vector_lr, vector_momentum, head_lr: as in
            `thumbnet.training.optimizers.create_optimizer`.
        lr: base learning rate, per step; `schedule` (None: `OneCycle()`) multiplies it and the other rates.
        augmentation: a policy's name (it mirrors images where `dataset.mirror_keeps_labels`), or the augmentations.
        alternating_flip: mirror every image in every second epoch, instead of at random.
        growth: of the images over the training; None: full size from the start.
        mixup: alpha of the Beta distribution of the share that a second image gets; 0: images are not mixed.
        average_decay: of the weights' moving average, which is scored and is what `model` ends with; 0: no average.
        lessons: what a teacher says of the training images; the first augmentation must then be the crop that they are
            of.
        is_trained: the weights are trained ones: what a model would learn from images before its first step is kept.
        seed: of shuffling, augmentation and dropout. The model's weights have their own seed, in `create_model`.
        device: `auto`, `cpu`, `cuda` or `mps`.
        precision: of convolutions and matrix products: `float32`, `bfloat16`, or `auto`: what is fastest here.
        kernels: `native` (ours, for blocks on a CPU; they need Linux and g++), `pytorch`, or `auto`: ours where they
            can be had.
        compiled: train through `torch.compile`: for GPUs; on a CPU it needs a C++ compiler and a minute to warm up.
        score: the splits to score after every epoch, `val` or `test`.
        progress: is told of steps and epochs; None picks what suits the terminal, the notebook or the log file.
        on_epoch_end: gets the state after each epoch, to keep it.
        resume_from: a state to go on from; the end is the same as without the interruption.

    Returns:
        History: one record an epoch.

    Raises:
        NonFiniteLossError: with the step and the likely cause; ConfigError or ModelError: arguments that do not fit.
    """
    keep_freed_memory()
    progress = pick_progress() if progress is None else progress
    if isinstance(augmentation, str):
        augmentation = default_policy(augmentation, dataset, may_flip=not alternating_flip)
    check_arguments(
        dataset,
        epochs=epochs,
        batch_size=batch_size,
        label_smoothing=label_smoothing,
        mixup=mixup,
        average_decay=average_decay,
        seed=seed,
        score=score,
    )
    check_mirroring(augmentation, alternating=alternating_flip)
    check_lessons(lessons, augmentation, num_images=len(dataset.train))
    to_device = pick_device(device)
    library = pick_kernels(kernels, model, to_device, compiled=compiled)
    model.to(to_device, memory_format=memory_order(to_device))  # type: ignore[call-overload]  # missing in its stubs
    made = create_optimizer(
        optimizer,
        model,
        lr=lr,
        momentum=momentum,
        nesterov=nesterov,
        weight_decay=weight_decay,
        vector_lr=vector_lr,
        vector_momentum=vector_momentum,
        head_lr=head_lr,
    )
    begin_s = time.perf_counter()  # not before: the first optimizer of a process has PyTorch import its compiler (1 s)
    base_lrs = [float(group["lr"]) for group in made.param_groups]
    history = History()
    if resume_from is not None:
        _check_state(resume_from, epochs=epochs, average_decay=average_decay)
        check_state_fits(resume_from.model, resume_from.average, resume_from.optimizer, model, made)
        model.load_state_dict(resume_from.model)
        made.load_state_dict(copy.deepcopy(dict(resume_from.optimizer)))
        history = resume_from.history
    elif not is_trained:
        show_images(model, dataset, seed=seed)
    average = WeightAverage(model, decay=average_decay) if average_decay else None
    if average is not None and resume_from is not None and resume_from.average is not None:
        average.load(resume_from.average)
    steps_per_epoch = num_batches(len(dataset.train), batch_size)
    loop = Loop(
        model=model,
        forward=torch.compile(model) if compiled else model,
        optimizer=made,
        base_lrs=base_lrs,
        precision=pick_precision(precision, to_device, fully_fused=library is not None and runs_fully_fused(model)),
        images=dataset.train.images.to(to_device),
        labels=dataset.train.labels.to(to_device),
        num_classes=dataset.num_classes,
        mean=dataset.mean,
        std=dataset.std,
        augmentations=augmentation,
        flip=AlternatingFlip(len(dataset.train), seed=seed) if alternating_flip else None,
        growth=Growth() if growth is None else growth,
        mixup=mixup,
        average=average,
        lessons=lessons,
        batch_size=batch_size,
        label_smoothing=label_smoothing,
        lr=lr,
        schedule=OneCycle() if schedule is None else schedule,
        num_epochs=epochs,
        steps_per_epoch=steps_per_epoch,
        seed=seed,
        progress=progress,
    )
    setup_s = time.perf_counter() - begin_s
    forecast = Forecast(
        progress, loop.area_between, num_steps=loop.num_steps, first_step=len(history) * steps_per_epoch
    )
    for epoch in range(len(history) + 1, epochs + 1):
        with using_kernels(model, library):
            trained = train_epoch(loop, epoch, forecast)
        check_finite(model, step=epoch * steps_per_epoch)
        with nullcontext() if average is None else average.applied(), finite_at(epoch * steps_per_epoch):
            val = evaluate(model, dataset, "val") if "val" in score else None
            test = evaluate(model, dataset, "test") if "test" in score else None
        record = EpochRecord(
            epoch=epoch,
            lr=loop.lr_at(epoch * steps_per_epoch - 1),
            train_loss=trained.mean_loss,
            train_accuracy=trained.accuracy,
            val_loss=None if val is None else val.loss,
            val_accuracy=None if val is None else val.accuracy,
            test_loss=None if test is None else test.loss,
            test_accuracy=None if test is None else test.accuracy,
            train_s=trained.num_images / trained.images_per_s + setup_s,
            images_per_s=trained.images_per_s,
        )
        setup_s = 0.0
        history = history.appended(record)
        if on_epoch_end is not None:
            averaged = None if average is None else average.averaged
            state = TrainingState(epoch, model.state_dict(), made.state_dict(), history, averaged)
            on_epoch_end(copy.deepcopy(state))  # the next epoch changes these tensors
        progress.epoch_ends(record)  # last: a terminal that is gone must not lose the epoch
    if average is not None:
        model.load_state_dict(average.averaged)
    return history


def _check_state(state: TrainingState, *, epochs: int, average_decay: float) -> None:
    """CheckpointError where the state is of a training with other arguments."""
    if state.epoch > epochs:
        raise CheckpointError(
            f"epochs is {epochs}, but the state is that after epoch {state.epoch}",
            hint=f"give epochs={state.epoch} or more",
        )
    if (average_decay > 0) != (state.average is not None):
        has = "no average" if state.average is None else "one"
        raise CheckpointError(
            f"average_decay is {average_decay}, but the state after epoch {state.epoch} has {has}",
            hint="go on with the average_decay that it was begun with, or begin anew",
        )
