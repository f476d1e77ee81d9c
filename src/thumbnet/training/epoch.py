"""One epoch of a training: shuffle, and for every batch augment, score, step."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from jaxtyping import Int64
from torch import Tensor

from thumbnet.data.batches import balanced_order, batches_of, shuffled_batches
from thumbnet.data.block_shuffle import block_shuffled_order
from thumbnet.data.read_ahead import read_batches
from thumbnet.training.class_weights import class_shares
from thumbnet.training.loop import Loop, TrainImages
from thumbnet.training.progress import EpochPlan, StepReport
from thumbnet.training.randomness import epoch_randomness
from thumbnet.training.rank_step import RankStep
from thumbnet.training.step import train_step
from thumbnet.training.tally import Tally

CPU_STEPS_BETWEEN_CHECKS = 1
GPU_STEPS_BETWEEN_CHECKS = 20  # reading the loss makes a GPU wait for it


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
    rank = None if loop.ranks is None else loop.ranks.rank
    with epoch_randomness(loop.seed, epoch, device, scheme=loop.random_scheme, rank=rank) as streams:
        batches = _batches(loop.train, course.batch_size, streams.shuffling)
        step_on = train_step
        if loop.ranks is not None:
            step_on = RankStep(loop, loop.ranks, streams.mixing)
            batches = step_on.parts_of(batches)
        for index, (chosen, pixels) in enumerate(read_batches(loop.train.images, batches)):
            step = first_step + index
            if step >= course.num_steps:
                break
            factor = course.factor_at(step)
            for group, base_lr in zip(loop.optimizer.param_groups, loop.base_lrs, strict=True):
                group["lr"] = base_lr * factor
            batch = chosen.to(device), pixels.to(device)
            tally.add(*step_on(loop, *batch, epoch, course.sides_at(step), streams.augmentation))
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
