"""One step of a training, and its loss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor
from torch.nn import functional as F

from thumbnet.augment import Draws, Part
from thumbnet.models.outputs import check_num_classes
from thumbnet.specs.objective import Objective
from thumbnet.training.distillation import distillation_loss
from thumbnet.training.inputs import make_batch
from thumbnet.training.label_loss import gradient_scale, label_losses
from thumbnet.training.loop import Loop, TrainImages
from thumbnet.training.mixup import Mixed, Targets, mix


def train_step(
    loop: Loop,
    chosen: Int64[Tensor, " b"],
    pixels: UInt8[Tensor, "b c h w"],
    epoch: int,
    sides: tuple[int, int],
    generator: torch.Generator,
) -> tuple[Tensor, Tensor, int, Float[Tensor, "k 3"] | None]:
    """One step of an epoch, on the images `chosen`, whose `pixels` these are: as `Tally.add` takes it."""
    images, targets = images_and_targets(loop.train, chosen, pixels, epoch, sides, generator)
    mixed = mix(images, targets, alpha=loop.objective.mixup)
    loss, logits, by_class = loss_on(loop, mixed)
    backward(loop, loss)
    loop.optimizer.step()
    return loss.detach(), mixed.num_correct(logits.detach()), len(chosen), by_class


def images_and_targets(
    train: TrainImages,
    chosen: Int64[Tensor, " m"],
    pixels: UInt8[Tensor, "m c h w"],
    epoch: int,
    sides: tuple[int, int],
    generator: torch.Generator,
    *,
    part: Part | None = None,
) -> tuple[Float[Tensor, "m c h2 w2"], Targets]:
    """The images `chosen` as the model is trained on them, and what they are to be; `part` as in `make_batch`."""
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
        part=part,
    )
    return images, Targets(train.labels[chosen], teacher_logits_of(train, chosen, drawn, epoch))


def loss_on(loop: Loop, mixed: Mixed) -> tuple[Float[Tensor, ""], Float[Tensor, "b k"], Float[Tensor, "k 3"] | None]:
    """What is minimised on these images, the model's logits, and what is counted by class, where that is."""
    train = loop.train
    with torch.autocast(mixed.images.device.type, loop.precision, enabled=loop.precision != torch.float32):
        logits = loop.forward(mixed.images).float()
    check_num_classes(logits, train.num_classes)
    if train.counts_by_class:
        loss, by_class = weighted_loss(loop.objective, logits, mixed, train.class_weights)
        return loss, logits, by_class
    loss = mixed.loss(lambda targets: loss_of(loop.objective, logits, targets, reduction="mean"))
    return loss, logits, None


def backward(loop: Loop, loss: Float[Tensor, ""]) -> None:
    """The gradients of a step, in place of those of the one before."""
    train = loop.train
    loop.optimizer.zero_grad(set_to_none=True)
    (loss * gradient_scale(train.num_classes) if train.labels.ndim == 2 else loss).backward()


def teacher_logits_of(
    train: TrainImages, chosen: Int64[Tensor, " b"], drawn: Sequence[Draws], epoch: int
) -> Float[Tensor, "b k"] | None:
    """The teacher's logits for the images `chosen`, cropped as drawn; None without a teacher."""
    if train.teacher is None:
        return None
    top, left = drawn[0]["top"], drawn[0]["left"]
    if train.flip is not None:  # before the crop: the same image as that of the flipped window, flipped
        left = torch.where(train.flip.flipped(chosen, epoch), 2 * train.teacher.crop.padding - left, left)
    return train.teacher.at(chosen, top, left)


def loss_of(
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


def weighted_loss(
    objective: Objective, logits: Float[Tensor, "b k"], mixed: Mixed, class_weights: Float[Tensor, " k"] | None
) -> tuple[Float[Tensor, ""], Float[Tensor, "k 3"]]:
    """The sum of the images' losses, each times its class's weight, over their number (not over the sum of the weights:
    which classes a batch has must not change the step); and, by class, the sums of the losses without weights, of what
    is right, and of the images."""

    def weighted(targets: Targets) -> Float[Tensor, " b"]:
        losses = loss_of(objective, logits, targets, reduction="none")
        return losses if class_weights is None else losses * class_weights[targets.labels]

    with torch.no_grad():
        losses = mixed.loss(lambda targets: loss_of(objective, logits, targets, reduction="none"))
        is_right = (logits.argmax(dim=1) == mixed.labels).float()
        belongs = F.one_hot(mixed.labels, logits.shape[1]).float()
        by_class = belongs.T @ torch.stack([losses, is_right, torch.ones_like(losses)], dim=1)
    return mixed.loss(weighted).mean(), by_class
