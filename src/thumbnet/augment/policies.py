"""The augmentation policies that a recipe names: the published ones, ours for short and long trainings, and none."""

from __future__ import annotations

from collections.abc import Sequence

from thumbnet.augment.augmentation import Augmentation
from thumbnet.augment.color import ColorJitter, Sharpen
from thumbnet.augment.dropout import CoarseDropout
from thumbnet.augment.geometry import HorizontalFlip, RandomCrop, ShiftScaleRotate
from thumbnet.errors import ConfigError

POLICIES = ("none", "crop-flip", "shift-flip", "strong", "albumentations")


def create_policy(name: str, *, flip: bool, mean: Sequence[float], cutout: int = 0) -> tuple[Augmentation, ...]:
    """The augmentations of the policy called `name`, in the order in which they are applied.

    Args:
        name: `none`; `crop-flip`, the published run (4 pixels of black padding); `shift-flip`, for short trainings (at
            most one pixel either way, reflected at the border); `strong`, for long ones (at most four pixels either
            way, reflected; turned by up to 15 degrees; colours and sharpness changed); or `albumentations`, the
            published documentation (shift-scale-rotate at Albumentations' defaults, a hole of 16x16 pixels in the mean
            colour).
        flip: whether images are mirrored with probability 0.5, in every policy.
        mean: the dataset's, per channel, of pixels scaled to 0..1: the colour of holes.
        cutout: side in pixels of a hole in every image, in any policy; 0: none.

    Raises:
        ConfigError: an unknown name, or a mean outside 0..1.
    """
    _check_name(name)
    mirror = (HorizontalFlip(),) if flip else ()
    fill = tuple(round(channel_mean * 255) for channel_mean in mean)
    hole = (CoarseDropout(size=cutout, p=1.0, fill=fill),) if cutout else ()
    if name == "none":
        return (*mirror, *hole)
    if name == "crop-flip":
        return (RandomCrop(padding=4, border="zero"), *mirror, *hole)
    if name == "shift-flip":
        return (RandomCrop(padding=1, border="reflect"), *mirror, *hole)
    if name == "strong":  # sharpened last, since turning blurs
        turn = ShiftScaleRotate(shift=0.0, scale=0.0, rotate_degrees=15.0, p=1.0)
        return (RandomCrop(padding=4, border="reflect"), *mirror, turn, ColorJitter(), Sharpen(), *hole)
    return (*mirror, ShiftScaleRotate(), CoarseDropout(size=16, p=0.5, fill=fill), *hole)


def policy_flips(name: str) -> bool:
    """Whether the policy mirrors images when `flip` is left to "auto" and mirroring keeps the dataset's labels.

    Raises:
        ConfigError: an unknown name.
    """
    _check_name(name)
    return name != "none"


def _check_name(name: str) -> None:
    if name not in POLICIES:
        raise ConfigError(f"unknown augmentation policy {name!r}", hint=f"choose one of {', '.join(POLICIES)}")
