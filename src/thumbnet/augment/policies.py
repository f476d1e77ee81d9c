"""The augmentation policies that a recipe names: the published ones, ours for short and long trainings, and none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from thumbnet.augment.augmentation import Augmentation
from thumbnet.augment.color import ColorJitter, Sharpen
from thumbnet.augment.dropout import CoarseDropout
from thumbnet.augment.geometry import HorizontalFlip, RandomCrop, ShiftScaleRotate
from thumbnet.errors import ConfigError
from thumbnet.specs.policies import POLICIES, PolicyTraits

Builder = Callable[[Sequence[float]], Sequence[Augmentation]]  # from the dataset's mean per channel, of pixels in 0..1


@dataclass(frozen=True, kw_only=True)
class Policy(PolicyTraits):
    """A policy of the user's: `build` gives its augmentations, without the flip and the hole that any policy may have.

    Example:
        >>> mine = Policy(build=lambda mean: [RandomCrop(2)], begins_with_crop=True)
    """

    build: Builder


def register_policy(name: str, policy: Policy, *, replace: bool = False) -> None:
    """Let recipes say `augmentation = "<name>"`.

    Raises:
        ConfigError: the name is no word of lower-case letters, digits, `-`, `_` and `.`, or is taken.
    """
    POLICIES.register(name, policy, replace=replace)


def create_policy(name: str, *, flip: bool, mean: Sequence[float], cutout: int = 0) -> tuple[Augmentation, ...]:
    """The augmentations of the policy called `name`, in the order in which they are applied.

    Args:
        name: `none`; `crop-flip`, the published run (4 pixels of black padding); `shift-flip` and
            `shift2-flip`, for short trainings (at most one or two pixels either way, reflected at the border);
            `strong`, for long ones (at most four pixels either way, reflected; turned by up to 15 degrees; colours and
            sharpness changed); `albumentations`, the published documentation (shift-scale-rotate at Albumentations'
            defaults, a hole of 16x16 pixels in the mean colour); or one that was registered.
        flip: whether images are flipped with probability 0.5, in every policy: after a crop that it begins with.
        mean: the dataset's, per channel, of pixels scaled to 0..1: the colour of holes.
        cutout: side in pixels of a hole in every image, in any policy; 0: none.

    Raises:
        ConfigError: an unknown name, or a mean outside 0..1.
    """
    augmentations = _build(name, mean)
    num_first = int(bool(augmentations) and isinstance(augmentations[0], RandomCrop))
    flips = (HorizontalFlip(),) if flip else ()
    hole = (CoarseDropout(size=cutout, p=1.0, fill=_grey_levels(mean)),) if cutout else ()
    return (*augmentations[:num_first], *flips, *augmentations[num_first:], *hole)


def policy_flips(name: str) -> bool:
    """Whether the policy flips images when `flip` is left to "auto" and a flip keeps the dataset's labels.

    Raises:
        ConfigError: an unknown name.
    """
    return POLICIES[name].flips


def _build(name: str, mean: Sequence[float]) -> tuple[Augmentation, ...]:
    policy = POLICIES[name]
    if not isinstance(policy, Policy):
        return OWN[name](mean)
    augmentations = tuple(policy.build(mean))
    begins_with_crop = bool(augmentations) and isinstance(augmentations[0], RandomCrop)
    if begins_with_crop != policy.begins_with_crop or not all(isinstance(each, Augmentation) for each in augmentations):
        raise ConfigError(
            f"the policy {name!r} says begins_with_crop={policy.begins_with_crop}, but gives {augmentations}",
            hint="it must give augmentations, a RandomCrop first where begins_with_crop is true and only there",
        )
    return augmentations


def _grey_levels(mean: Sequence[float]) -> tuple[int, ...]:
    return tuple(round(channel_mean * 255) for channel_mean in mean)


def _strong(mean: Sequence[float]) -> tuple[Augmentation, ...]:
    turn = ShiftScaleRotate(shift=0.0, scale=0.0, rotate_degrees=15.0, p=1.0)
    return RandomCrop(padding=4, border="reflect"), turn, ColorJitter(), Sharpen()  # the last, since turning blurs


OWN: dict[str, Callable[[Sequence[float]], tuple[Augmentation, ...]]] = {
    "none": lambda mean: (),
    "crop-flip": lambda mean: (RandomCrop(padding=4, border="zero"),),
    "shift-flip": lambda mean: (RandomCrop(padding=1, border="reflect"),),
    "shift2-flip": lambda mean: (RandomCrop(padding=2, border="reflect"),),
    "strong": _strong,
    "albumentations": lambda mean: (ShiftScaleRotate(), CoarseDropout(size=16, p=0.5, fill=_grey_levels(mean))),
}
