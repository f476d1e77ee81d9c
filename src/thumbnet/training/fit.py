"""TRAINING: the loop. A model and a dataset in, a history out; every epoch can be resumed from exactly.

Nothing random survives an epoch: shuffling, augmentation and dropout are drawn from the seed and the epoch's number
(see docs/decisions/), so the state to resume from is the model, the optimizer and the history.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor, nn
from torch.nn import functional as F

from thumbnet.augment import Augmentation, Draws
from thumbnet.data.batches import num_batches, shuffled_batches
from thumbnet.data.dataset import Dataset
from thumbnet.errors import CheckpointError, NonFiniteLossError
from thumbnet.evaluation.metrics import evaluate
from thumbnet.training.alternating import AlternatingFlip
from thumbnet.training.averaging import WeightAverage
from thumbnet.training.checks import check_arguments, check_lessons, check_mirroring
from thumbnet.training.device import keep_freed_memory, pick_device, pick_precision
from thumbnet.training.distillation import Lessons
from thumbnet.training.forecast import Forecast
from thumbnet.training.growth import Growth
from thumbnet.training.history import EpochRecord, History
from thumbnet.training.inputs import default_policy, make_batch, show_images
from thumbnet.training.kernels import does_all, pick_kernels, using_kernels
from thumbnet.training.mixup import Targets, mix
from thumbnet.training.optimizers import create_optimizer
from thumbnet.training.progress import EpochPlan, Progress, StepReport, pick_progress
from thumbnet.training.schedules import OneCycle, Schedule

CPU_STEPS_BETWEEN_CHECKS = 1
GPU_STEPS_BETWEEN_CHECKS = 20  # reading the loss makes a GPU wait for it

ScoredSplit = Literal["val", "test"]


@dataclass(frozen=True)
class TrainingState:
    """All that is needed to go on after an epoch: tensors, numbers and texts only. `average` is that of the weights."""

    epoch: int
    model: Mapping[str, Tensor]
    optimizer: Mapping[str, Any]
    history: History
    average: Mapping[str, Tensor] | None = None


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
        optimizer, momentum, nesterov, weight_decay, vector_lr, vector_momentum, head_lr: see `create_optimizer`.
        lr: base learning rate, per step; `schedule` (None: `OneCycle()`) multiplies it and the other rates.
        augmentation: a policy's name (it mirrors images where `dataset.mirror_keeps_labels`), or the augmentations.
        alternating_flip: mirror every image in every second epoch, instead of at random: see `AlternatingFlip`.
        growth: of the images over the training; None: full size from the start.
        mixup: alpha of the Beta distribution of the share that a second image gets; 0: images are not mixed.
        average_decay: of the weights' moving average, which is scored and is what `model` ends with; 0: no average.
        lessons: what a teacher says of the training images; the first augmentation must then be the crop that they are
            of.
        is_trained: the weights are trained ones: what a model would learn from images before its first step is kept.
        seed: of shuffling, augmentation and dropout. The model's weights have their own seed, in `create_model`.
        device: `auto`, `cpu`, `cuda` or `mps`.
        precision: of convolutions and matrix products: `float32`, `bfloat16`, or `auto` (see `pick_precision`).
        kernels: `native`, `pytorch` or `auto` (see `pick_kernels`).
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
    check_arguments(dataset, epochs=epochs, batch_size=batch_size, score=score)
    check_mirroring(augmentation, alternating=alternating_flip)
    check_lessons(lessons, augmentation, num_images=len(dataset.train))
    to_device = pick_device(device)
    library = pick_kernels(kernels, model, to_device, compiled=compiled)
    model.to(to_device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in its stubs
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
        _load_state(model, resume_from)
        made.load_state_dict(copy.deepcopy(dict(resume_from.optimizer)))
        history = resume_from.history
    elif not is_trained:
        show_images(model, dataset, seed=seed)
    average = WeightAverage(model, decay=average_decay) if average_decay else None
    if average is not None and resume_from is not None:
        if resume_from.average is None:
            raise CheckpointError(
                f"average_decay is {average_decay}, but the state after epoch {resume_from.epoch} has no average",
                hint="go on as it was begun, without average_decay, or begin anew",
            )
        average.load(resume_from.average)
    steps_per_epoch = num_batches(len(dataset.train), batch_size)
    loop = _Loop(
        model=model,
        forward=torch.compile(model) if compiled else model,
        optimizer=made,
        base_lrs=base_lrs,
        precision=pick_precision(precision, to_device, keeps_maps_only=library is not None and does_all(model)),
        images=dataset.train.images.to(to_device),
        labels=dataset.train.labels.to(to_device),
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
    areas = [math.prod(loop.sides_at(step)) for step in range(loop.num_steps)]
    forecast = Forecast(progress, areas, first_step=len(history) * steps_per_epoch)
    for epoch in range(len(history) + 1, epochs + 1):
        with using_kernels(model, library):
            trained = _train_epoch(loop, epoch, forecast)
        with nullcontext() if average is None else average.applied():
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
        progress.epoch_ends(record)
        if on_epoch_end is not None:
            averaged = None if average is None else average.averaged
            state = TrainingState(epoch, model.state_dict(), made.state_dict(), history, averaged)
            on_epoch_end(copy.deepcopy(state))  # the next epoch changes these tensors
    if average is not None:
        model.load_state_dict(average.averaged)
    return history


@dataclass(frozen=True)
class _Loop:
    """What stays the same from epoch to epoch."""

    model: nn.Module
    forward: Callable[[Tensor], Tensor]
    optimizer: torch.optim.Optimizer
    base_lrs: Sequence[float]
    precision: torch.dtype
    images: UInt8[Tensor, "n c h w"]
    labels: Int64[Tensor, " n"]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    augmentations: Sequence[Augmentation]
    flip: AlternatingFlip | None
    growth: Growth
    mixup: float
    average: WeightAverage | None
    lessons: Lessons | None
    batch_size: int
    label_smoothing: float
    lr: float
    schedule: Schedule
    num_epochs: int
    steps_per_epoch: int
    seed: int
    progress: Progress

    @property
    def num_steps(self) -> int:
        return self.num_epochs * self.steps_per_epoch

    def factor_at(self, step: int) -> float:
        return self.schedule.factor(step, num_steps=self.num_steps, steps_per_epoch=self.steps_per_epoch)

    def lr_at(self, step: int) -> float:
        return self.lr * self.factor_at(step)

    def sides_at(self, step: int) -> tuple[int, int]:
        """Height and width in pixels of the images at this step."""
        height, width = self.images.shape[2:]
        return self.growth.sides((height, width), step, self.num_steps)


def _train_epoch(loop: _Loop, epoch: int, forecast: Forecast) -> StepReport:
    first_step = (epoch - 1) * loop.steps_per_epoch
    on_cpu = loop.images.device.type == "cpu"
    check_every = CPU_STEPS_BETWEEN_CHECKS if on_cpu else GPU_STEPS_BETWEEN_CHECKS
    loop.progress.epoch_begins(
        EpochPlan(epoch, loop.num_epochs, loop.lr_at(first_step), len(loop.labels), loop.steps_per_epoch)
    )
    loop.model.train()
    tally = _Tally(first_step)
    with _epoch_randomness(loop.seed, epoch, loop.images.device) as generator:
        for index, chosen in enumerate(shuffled_batches(len(loop.labels), loop.batch_size, generator)):
            factor = loop.factor_at(first_step + index)
            for group, base_lr in zip(loop.optimizer.param_groups, loop.base_lrs, strict=True):
                group["lr"] = base_lr * factor
            sides = loop.sides_at(first_step + index)
            tally.add(*_train_step(loop, chosen.to(loop.labels.device), epoch, sides, generator))
            if loop.average is not None:
                loop.average.update(first_step + index)
            if (index + 1) % check_every == 0 or index + 1 == loop.steps_per_epoch:
                report = tally.report()
                loop.progress.step_ends(report)
                forecast.step_ends(first_step + index)
    return report


def _train_step(
    loop: _Loop, chosen: Int64[Tensor, " b"], epoch: int, sides: tuple[int, int], generator: torch.Generator
) -> tuple[Tensor, Tensor, int]:
    """One step of an epoch, on the images `chosen`: its loss, how many it got right, and of how many."""
    labels = loop.labels[chosen]
    chosen_images = loop.images.index_select(0, chosen)  # on a CPU 20 times faster than an index in brackets
    if loop.flip is not None:
        chosen_images = loop.flip.apply(chosen_images, chosen, epoch)
    drawn: list[Draws] = []
    images = make_batch(
        chosen_images, loop.augmentations, generator, mean=loop.mean, std=loop.std, sides=sides, drawn=drawn
    )
    mixed = mix(images, Targets(labels, _taught(loop, chosen, drawn, epoch)), alpha=loop.mixup)
    with torch.autocast(images.device.type, loop.precision, enabled=loop.precision != torch.float32):
        logits = loop.forward(mixed.images).float()
    loss = mixed.loss(lambda targets: _loss(loop, logits, targets))
    loop.optimizer.zero_grad(set_to_none=True)
    loss.backward()
    loop.optimizer.step()
    return loss.detach(), mixed.num_correct(logits.detach()), len(labels)


def _taught(
    loop: _Loop, chosen: Int64[Tensor, " b"], drawn: Sequence[Draws], epoch: int
) -> Float[Tensor, "b k"] | None:
    """What the teacher says of the images `chosen`, cropped as drawn; None where there is none."""
    if loop.lessons is None:
        return None
    top, left = drawn[0]["top"], drawn[0]["left"]
    if loop.flip is not None:  # before the crop: the same image as that of the mirrored window, mirrored
        left = torch.where(loop.flip.mirrored(chosen, epoch), 2 * loop.lessons.crop.padding - left, left)
    return loop.lessons.of(chosen, top, left)


def _loss(loop: _Loop, logits: Float[Tensor, "b k"], targets: Targets) -> Float[Tensor, ""]:
    loss = F.cross_entropy(logits, targets.labels, label_smoothing=loop.label_smoothing)
    if loop.lessons is None or targets.taught is None:
        return loss
    return loop.lessons.loss(logits, targets.taught, loss)


class _Tally:
    """Sums over an epoch, read from the device only when a report is asked for."""

    def __init__(self, first_step: int) -> None:
        self.first_step = first_step
        self.begin_s = time.perf_counter()
        self.unread: list[tuple[Tensor, Tensor, int]] = []
        self.num_steps = self.num_images = self.num_correct = 0
        self.loss_sum = 0.0

    def add(self, loss: Tensor, num_correct: Tensor, num_images: int) -> None:
        self.unread.append((loss, num_correct, num_images))

    def report(self) -> StepReport:
        """The sums so far; NonFiniteLossError names the first step whose loss is not finite."""
        for loss, num_correct, num_images in self.unread:
            last_loss = float(loss)
            self.num_steps += 1
            if not math.isfinite(last_loss):
                raise NonFiniteLossError(
                    f"the loss became {last_loss} at step {self.first_step + self.num_steps} "
                    f"(step {self.num_steps} of its epoch)",
                    hint="the learning rate is the likely cause: divide lr by 3, or ask `thumbnet find-lr`",
                )
            self.loss_sum += last_loss * num_images
            self.num_correct += int(num_correct)
            self.num_images += num_images
        self.unread.clear()
        return StepReport(
            num_steps=self.num_steps,
            num_images=self.num_images,
            mean_loss=self.loss_sum / self.num_images,
            accuracy=self.num_correct / self.num_images,
            last_loss=last_loss,
            images_per_s=self.num_images / (time.perf_counter() - self.begin_s),
        )


def _load_state(model: nn.Module, state: TrainingState) -> None:
    try:
        model.load_state_dict(state.model)
    except RuntimeError as error:
        raise CheckpointError(
            f"the state after epoch {state.epoch} does not fit the model: {error}",
            hint="go on with the model and the number of classes that it was begun with, or begin anew",
        ) from error


@contextmanager
def _epoch_randomness(seed: int, epoch: int, device: torch.device) -> Iterator[torch.Generator]:
    """A generator to shuffle and augment with; PyTorch's own (dropout) are seeded for the epoch, then restored."""
    batches_seed, dropout_seed = np.random.SeedSequence([seed, epoch]).generate_state(2, np.uint32)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(int(dropout_seed))
        yield torch.Generator().manual_seed(int(batches_seed))
