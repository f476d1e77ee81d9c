"""Arguments of a training that do not fit each other or the data: refused before the first step."""

from __future__ import annotations

import math
from collections.abc import Sequence

from thumbnet.augment import Augmentation, HorizontalFlip, RandomCrop
from thumbnet.config import check_epochs
from thumbnet.data.dataset import Dataset
from thumbnet.errors import ConfigError
from thumbnet.training.distillation import Lessons


def check_arguments(
    dataset: Dataset,
    *,
    epochs: int,
    batch_size: int,
    label_smoothing: float,
    mixup: float,
    average_decay: float,
    seed: int,
    score: Sequence[str],
) -> None:
    """ConfigError for numbers that nothing can be trained with, or a split to score that is not there or trained on."""
    check_epochs(epochs)
    if batch_size < 2:
        raise ConfigError(f"batch_size is {batch_size}", hint="batch normalisation needs at least 2 images a batch")
    if len(dataset.train) < 2:
        raise ConfigError(f"there are {len(dataset.train)} training images", hint="at least 2 are needed")
    for name, value, is_right, expected in (
        ("label_smoothing", label_smoothing, 0 <= label_smoothing < 1, "at least 0 and below 1"),
        ("mixup", mixup, 0 <= mixup < math.inf, "at least 0"),
        ("average_decay", average_decay, 0 <= average_decay < 1, "at least 0 and below 1"),
        ("seed", seed, seed >= 0, "at least 0"),
    ):
        if not is_right:
            raise ConfigError(f"{name} is {value}", hint=f"{name} must be {expected}")
    for split in score:
        if split == "train":
            raise ConfigError("score has 'train', which the history tells of anyway", hint="score val or test")
        dataset.split(split)


def check_mirroring(augmentations: Sequence[Augmentation], *, alternating: bool) -> None:
    """ConfigError where images would be mirrored twice over."""
    if alternating and any(isinstance(each, HorizontalFlip) for each in augmentations):
        raise ConfigError(
            "alternating_flip is given, but the augmentations mirror images, too", hint="leave one of the two out"
        )


def check_lessons(lessons: Lessons | None, augmentations: Sequence[Augmentation], *, num_images: int) -> None:
    """ConfigError where a teacher was asked of other images, or of others than the student will see.

    After the crop an image may be changed in any way in which the teacher's answer still holds, but not cropped again.
    """
    if lessons is None:
        return
    first = augmentations[0] if augmentations else None
    if first != lessons.crop or any(isinstance(later, RandomCrop) for later in augmentations[1:]):
        raise ConfigError(
            f"the lessons are of {lessons.crop}, but the first augmentation is {first}",
            hint="augment with that first, and with no other crop",
        )
    if len(lessons.logits) != num_images:
        raise ConfigError(
            f"the lessons are of {len(lessons.logits)} images, but there are {num_images} training images",
            hint="ask the teacher of the training images, in their order",
        )
