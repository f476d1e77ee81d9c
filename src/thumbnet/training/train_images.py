"""From a dataset and a training's arguments to the images that it is trained on."""

from __future__ import annotations

import torch

from thumbnet.data.dataset import Dataset
from thumbnet.data.streamed import is_streamed
from thumbnet.errors import ConfigError
from thumbnet.kernels.library import Kernels
from thumbnet.specs.inputs import Inputs
from thumbnet.specs.objective import Objective
from thumbnet.training.alternating import AlternatingFlip
from thumbnet.training.checks import check_flips, check_teacher
from thumbnet.training.class_weights import resolve_class_weights
from thumbnet.training.distillation import TeacherLogits
from thumbnet.training.inputs import build_augmentations, resolve_inputs
from thumbnet.training.loop import TrainImages


def train_images_of(
    dataset: Dataset,
    inputs: Inputs,
    objective: Objective,
    *,
    seed: int,
    device: torch.device,
    library: Kernels | None,
) -> TrainImages:
    """The training images of a dataset on the device, with what a batch is made by.

    Raises:
        ConfigError: flips, augmentations or a teacher that do not fit each other or the images.
    """
    inputs = resolve_inputs(inputs, dataset)
    augmentations = build_augmentations(inputs, dataset)
    check_flips(augmentations, alternating=inputs.alternating_flip)
    teacher = objective.teacher
    if teacher is not None and not isinstance(teacher, TeacherLogits):
        raise ConfigError(
            f"teacher is {teacher!r}, but fit needs its logits for the training images",
            hint="give TeacherLogits, or train with a config that names the teacher's run: thumbnet.train",
        )
    check_teacher(teacher, augmentations, num_images=len(dataset.train))
    class_weights = resolve_class_weights(objective, inputs, dataset.train.labels, dataset.class_names)
    return TrainImages(
        images=dataset.train.images if is_streamed(dataset.train.images) else dataset.train.images.to(device),
        labels=dataset.train.labels.to(device),
        num_classes=dataset.num_classes,
        mean=dataset.mean,
        std=dataset.std,
        augmentations=augmentations,
        flip=AlternatingFlip(len(dataset.train), seed=seed) if inputs.alternating_flip else None,
        resizing=inputs.resizing,
        teacher=teacher,
        library=library,
        class_weights=None if class_weights is None else class_weights.to(device),
        is_balanced=inputs.sampler == "balanced",
        by_blocks=inputs.shuffle == "blocks",
    )
