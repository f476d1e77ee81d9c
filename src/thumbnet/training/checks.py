"""Arguments of a training that do not fit each other or the data: refused before the first step."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from thumbnet.augment import Augmentation, HorizontalFlip, RandomCrop
from thumbnet.data.dataset import Dataset
from thumbnet.errors import ConfigError
from thumbnet.specs.checks import require_fraction, require_seed
from thumbnet.specs.limits import check_batch_size
from thumbnet.specs.stopping import Stopping
from thumbnet.training.distillation import TeacherLogits

SCORED_SPLITS = ("val", "test")  # that a history has columns for


def check_arguments(
    dataset: Dataset, *, batch_size: int, average_decay: float, seed: int, scored: Collection[str], stopping: Stopping
) -> None:
    """ConfigError for numbers that nothing can be trained with, scorers that the history has no column for, or none for
    the split that decides when the training ends."""
    check_batch_size(batch_size)
    if len(dataset.train) < 2:
        raise ConfigError(f"there are {len(dataset.train)} training images", hint="at least 2 are needed")
    require_fraction("average_decay", average_decay)
    require_seed("seed", seed)
    for name in scored:
        if name not in SCORED_SPLITS:
            raise ConfigError(f"there is a scorer for {name!r}", hint=f"name scorers {' or '.join(SCORED_SPLITS)}")
    if stopping.needs_validation and "val" not in scored:
        raise ConfigError(
            f"{stopping.describe()}, but there is no scorer for 'val'",
            hint="give scorers=thumbnet.scorers(dataset, 'val'), or leave patience and keep_weights out",
        )


def check_flips(augmentations: Sequence[Augmentation], *, alternating: bool) -> None:
    """ConfigError where images would be flipped twice over."""
    if alternating and any(isinstance(each, HorizontalFlip) for each in augmentations):
        raise ConfigError(
            "alternating_flip is given, but the augmentations flip images, too", hint="leave one of the two out"
        )


def check_teacher(teacher: TeacherLogits | None, augmentations: Sequence[Augmentation], *, num_images: int) -> None:
    """ConfigError where the teacher's logits are for other images or crops than the student will see.

    After the shared crop, no second crop: the teacher never saw it.
    """
    if teacher is None:
        return
    first = augmentations[0] if augmentations else None
    if first != teacher.crop or any(isinstance(later, RandomCrop) for later in augmentations[1:]):
        raise ConfigError(
            f"the teacher's logits are for {teacher.crop}, but the first augmentation is {first}",
            hint="augment with that first, and with no other crop",
        )
    if teacher.num_images != num_images:
        raise ConfigError(
            f"the teacher's logits are for {teacher.num_images} images, but there are {num_images} training images",
            hint="give those for the training images, in their order",
        )
