"""One epoch of a training: shuffle, and for every batch augment, score, step."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor, nn
from torch.nn import functional as F

from thumbnet.augment import Augmentation, Draws
from thumbnet.data.batches import balanced_order, batches_of, shuffled_batches
from thumbnet.data.block_shuffle import block_shuffled_order
from thumbnet.data.read_ahead import read_batches
from thumbnet.kernels.library import Kernels
from thumbnet.models.outputs import check_num_classes
from thumbnet.specs.objective import Objective
from thumbnet.specs.resizing import ProgressiveResizing
from thumbnet.training.alternating import AlternatingFlip
from thumbnet.training.averaging import WeightAverage
from thumbnet.training.body import Body
from thumbnet.training.class_weights import class_shares
from thumbnet.training.course import Course
from thumbnet.training.distillation import TeacherLogits, distillation_loss
from thumbnet.training.inputs import make_batch
from thumbnet.training.label_loss import gradient_scale, label_losses
from thumbnet.training.mixup import Mixed, Targets, mix
from thumbnet.training.progress import EpochPlan, Progress, StepReport
from thumbnet.training.randomness import epoch_randomness
from thumbnet.training.tally import Tally

CPU_STEPS_BETWEEN_CHECKS = 1
GPU_STEPS_BETWEEN_CHECKS = 20  # reading the loss makes a GPU wait for it


@dataclass(frozen=True)
class TrainImages:
    """The training images, on the disk or on the training's device, the labels, on that, and how a batch is made
    of them.

    `class_weights` are on that device, too; None: all images weigh the same. `is_balanced` is whether an epoch draws as
    many images of each class, `by_blocks` whether it is shuffled as block_shuffle.py does.
    """

    images: UInt8[Tensor, "n c h w"]
    labels: Int64[Tensor, " n"] | UInt8[Tensor, "n k"]
    num_classes: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    augmentations: Sequence[Augmentation]
    flip: AlternatingFlip | None
    resizing: ProgressiveResizing
    teacher: TeacherLogits | None
    library: Kernels | None
    class_weights: Float[Tensor, " k"] | None = None
    is_balanced: bool = False
    by_blocks: bool = False

    @property
    def counts_by_class(self) -> bool:
        """Whether what is minimised is not the mean over the training images."""
        return self.is_balanced or self.class_weights is not None

    @property
    def full_size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        height, width = self.images.shape[2:]
        return height, width


@dataclass(frozen=True)
class Loop:
    """What stays the same from epoch to epoch."""

    model: nn.Module
    body: Body
    forward: Callable[[Tensor], Tensor]
    optimizer: torch.optim.Optimizer
    base_lrs: Sequence[float]
    precision: torch.dtype
    train: TrainImages
    course: Course
    objective: Objective
    average: WeightAverage | None
    seed: int
    random_scheme: int
    progress: Progress


def train_epoch(loop: Loop, epoch: int, step_ended: Callable[[int], object]) -> StepReport:
    """Train the loop's model for its epoch number `epoch` (from 1), and report on the whole of it.

    The last epoch ends where the course does. `step_ended` is called with the step, where the device has caught up.
    """
    course, labels, device = loop.course, loop.train.labels, loop.train.labels.device
    first_step = (epoch - 1) * course.steps_per_epoch
    num_steps = min(course.steps_per_epoch, course.num_steps - first_step)
    num_images = len(labels) if num_steps == course.steps_per_epoch else num_steps * course.batch_size
    check_every = CPU_STEPS_BETWEEN_CHECKS if device.type == "cpu" else GPU_STEPS_BETWEEN_CHECKS
    loop.progress.epoch_begins(EpochPlan(epoch, course.num_epochs, course.lr_at(first_step), num_images, num_steps))
    loop.model.train()
    loop.body.stay_in_evaluation()
    shares = class_shares(labels.cpu(), loop.train.num_classes) if loop.train.counts_by_class else None
    tally = Tally(first_step, shares=shares)
    with epoch_randomness(loop.seed, epoch, device, scheme=loop.random_scheme) as streams:
        batches = _batches(loop.train, course.batch_size, streams.shuffling)
        for index, (chosen, pixels) in enumerate(read_batches(loop.train.images, batches)):
            step = first_step + index
            if step >= course.num_steps:
                break
            factor = course.factor_at(step)
            for group, base_lr in zip(loop.optimizer.param_groups, loop.base_lrs, strict=True):
                group["lr"] = base_lr * factor
            batch = chosen.to(device), pixels.to(device)
            tally.add(*_train_step(loop, *batch, epoch, course.sides_at(step), streams.augmentation))
            if loop.average is not None:
                loop.average.update(step)
            is_last = index + 1 == course.steps_per_epoch or step + 1 == course.num_steps
            if (index + 1) % check_every == 0 or is_last:
                report = tally.report()
                loop.progress.step_ends(report)
                step_ended(step)
    return report


def _batches(train: TrainImages, batch_size: int, generator: torch.Generator) -> Iterator[Int64[Tensor, " b"]]:
    """The indices of an epoch's images, batch by batch."""
    if train.by_blocks:
        order = block_shuffled_order(len(train.labels), train.images.shape[1:], generator)
        return batches_of(order, batch_size)
    if not train.is_balanced:
        return shuffled_batches(len(train.labels), batch_size, generator)
    return batches_of(balanced_order(train.labels.cpu(), train.num_classes, generator), batch_size)


def _train_step(
    loop: Loop,
    chosen: Int64[Tensor, " b"],
    pixels: UInt8[Tensor, "b c h w"],
    epoch: int,
    sides: tuple[int, int],
    generator: torch.Generator,
) -> tuple[Tensor, Tensor, int, Float[Tensor, "k 3"] | None]:
    """One step of an epoch, on the images `chosen`, whose `pixels` these are: as `Tally.add` takes it."""
    train = loop.train
    labels = train.labels[chosen]
    drawn: list[Draws] = []
    images = make_batch(
        pixels,
        train.augmentations,
        generator,
        mean=train.mean,
        std=train.std,
        sides=sides,
        drawn=drawn,
        flipped=None if train.flip is None else train.flip.flipped(chosen, epoch),
        library=train.library,
    )
    mixed = mix(images, Targets(labels, _teacher_logits(train, chosen, drawn, epoch)), alpha=loop.objective.mixup)
    with torch.autocast(images.device.type, loop.precision, enabled=loop.precision != torch.float32):
        logits = loop.forward(mixed.images).float()
    check_num_classes(logits, train.num_classes)
    by_class = None
    if train.counts_by_class:
        loss, by_class = _weighted_loss(loop.objective, logits, mixed, train.class_weights)
    else:
        loss = mixed.loss(lambda targets: _loss(loop.objective, logits, targets, reduction="mean"))
    loop.optimizer.zero_grad(set_to_none=True)
    (loss * gradient_scale(logits.shape[1]) if labels.ndim == 2 else loss).backward()
    loop.optimizer.step()
    return loss.detach(), mixed.num_correct(logits.detach()), len(labels), by_class


def _teacher_logits(
    train: TrainImages, chosen: Int64[Tensor, " b"], drawn: Sequence[Draws], epoch: int
) -> Float[Tensor, "b k"] | None:
    """The teacher's logits for the images `chosen`, cropped as drawn; None without a teacher."""
    if train.teacher is None:
        return None
    top, left = drawn[0]["top"], drawn[0]["left"]
    if train.flip is not None:  # before the crop: the same image as that of the flipped window, flipped
        left = torch.where(train.flip.flipped(chosen, epoch), 2 * train.teacher.crop.padding - left, left)
    return train.teacher.at(chosen, top, left)


def _loss(
    objective: Objective, logits: Float[Tensor, "b k"], targets: Targets, *, reduction: Literal["mean", "none"]
) -> Float[Tensor, "..."]:
    """What is minimised: the mean over the batch, or image by image."""
    if targets.labels.ndim == 2:
        losses = label_losses(logits, targets.labels, label_smoothing=objective.label_smoothing)
        return losses.mean() if reduction == "mean" else losses
    loss = F.cross_entropy(logits, targets.labels, label_smoothing=objective.label_smoothing, reduction=reduction)
    if targets.teacher_logits is None:
        return loss
    assert objective.teacher_weight is not None
    assert objective.teacher_temperature is not None
    return distillation_loss(
        logits,
        targets.teacher_logits,
        loss,
        weight=objective.teacher_weight,
        temperature=objective.teacher_temperature,
    )


def _weighted_loss(
    objective: Objective, logits: Float[Tensor, "b k"], mixed: Mixed, class_weights: Float[Tensor, " k"] | None
) -> tuple[Float[Tensor, ""], Float[Tensor, "k 3"]]:
    """The sum of the images' losses, each times its class's weight, over their number (not over the sum of the weights:
    which classes a batch has must not change the step); and, by class, the sums of the losses without weights, of what
    is right, and of the images."""

    def weighted(targets: Targets) -> Float[Tensor, " b"]:
        losses = _loss(objective, logits, targets, reduction="none")
        return losses if class_weights is None else losses * class_weights[targets.labels]

    with torch.no_grad():
        losses = mixed.loss(lambda targets: _loss(objective, logits, targets, reduction="none"))
        is_right = (logits.argmax(dim=1) == mixed.labels).float()
        belongs = F.one_hot(mixed.labels, logits.shape[1]).float()
        by_class = belongs.T @ torch.stack([losses, is_right, torch.ones_like(losses)], dim=1)
    return mixed.loss(weighted).mean(), by_class
