"""The augmentation policies that a recipe names: the published ones, ours for short and long trainings, and none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from thumbnet.augment.augmentation import Augmentation
from thumbnet.augment.color import ColorJitter, Sharpen
from thumbnet.augment.compression import Jpeg
from thumbnet.augment.dropout import CoarseDropout
from thumbnet.augment.field import Blur, Lighting, Noise
from thumbnet.augment.geometry import HorizontalFlip, RandomCrop, ShiftScaleRotate
from thumbnet.augment.own import augmentation_of
from thumbnet.augment.turns import QuarterTurn, VerticalFlip
from thumbnet.errors import ConfigError
from thumbnet.specs.code_reference import is_own_code
from thumbnet.specs.policies import AUTO, POLICIES, PolicyTraits, scaled

Builder = Callable[[Sequence[float]], Sequence[Augmentation]]  # from the dataset's mean per channel, of pixels in 0..1


@dataclass(frozen=True, kw_only=True)
class Policy(PolicyTraits):
    """A policy of the user's: `build` gives its augmentations, without the flip and the hole that any policy may have;
    what they give in pixels is so many pixels of any image.

    Example:
        >>> mine = Policy(build=lambda mean: [RandomCrop(2)], begins_with_crop=True)
    """

    build: Builder


def register_policy(name: str, policy: Policy, *, replace: bool = False) -> None:
    """Let recipes say `augmentation = "<name>"`.

    Raises:
        ConfigError: the name is no word of lower-case letters, digits, `-`, `_` and `.`, or is taken.
    """
    if name == AUTO:
        raise ConfigError(f"{name!r} is no name for a policy: it lets `train` choose one", hint="choose another name")
    POLICIES.register(name, policy, replace=replace)


def create_policy(
    name: str,
    *,
    flip: bool,
    mean: Sequence[float],
    cutout: int = 0,
    unit: float = 1.0,
    border: Literal["policy", "reflect"] = "policy",
) -> tuple[Augmentation, ...]:
    """The augmentations of the policy called `name`, in the order in which they are applied.

    Args:
        name: `none`; `crop-flip`, the published run (4 pixels of black padding); `shift-flip`, `shift2-flip` and
            `shift4-flip` (at most one, two or four pixels either way, reflected at the border), the first two for
            short trainings; `strong`, for long ones (four pixels; turned by up to 15 degrees; colours and sharpness
            changed); `photo`, for photographs (two pixels; other light, and of some images blur, noise and JPEG's
            traces); `flips` (two pixels; also upside down) and `turns` (two pixels; also by quarter turns), for scenes
            without an up and a down; `strong-flips`, `strong-turns`, `photo-flips`, `photo-turns`: both;
            `albumentations`, the published documentation (shift-scale-rotate at Albumentations' defaults, a hole of
            16x16 pixels in the mean colour); one that was registered; or code of the user's own, `aug.py:Name`.
        flip: whether images are flipped with probability 0.5, in every policy: after a crop that it begins with.
        mean: the dataset's, per channel, of pixels scaled to 0..1: the colour of holes.
        cutout: side in pixels of a hole in every image, in any policy; 0: none.
        unit: by how much `cutout`, and what thumbnet's own policies give in pixels, is multiplied: the shorter side of
            the images over 32.
        border: `reflect` mirrors the image at its border instead of black, in every policy's crop.

    Raises:
        ConfigError: an unknown name, or a mean outside 0..1.
    """
    augmentations = tuple(_at_border(each, border) for each in _build(name, mean, unit))
    num_first = int(bool(augmentations) and isinstance(augmentations[0], RandomCrop))
    flips = (HorizontalFlip(),) if flip else ()
    hole = (CoarseDropout(size=scaled(cutout, unit), p=1.0, fill=_grey_levels(mean)),) if cutout else ()
    return (*augmentations[:num_first], *flips, *augmentations[num_first:], *hole)


def policy_flips(name: str) -> bool:
    """Whether the policy flips images when `flip` is left to "auto" and a flip keeps the dataset's labels.

    Raises:
        ConfigError: an unknown name.
    """
    return _traits(name).flips


def _traits(name: str) -> PolicyTraits:
    if name == AUTO:
        raise ConfigError("the policy 'auto' is chosen by `train`, on validation images", hint="name a policy here")
    return POLICIES[name]


def _build(name: str, mean: Sequence[float], unit: float) -> tuple[Augmentation, ...]:
    if is_own_code(name):
        return (augmentation_of(name),)
    policy = _traits(name)
    if not isinstance(policy, Policy):
        return tuple(_enlarged(each, unit) for each in OWN[name](mean))
    augmentations = tuple(policy.build(mean))
    begins_with_crop = bool(augmentations) and isinstance(augmentations[0], RandomCrop)
    if begins_with_crop != policy.begins_with_crop or not all(isinstance(each, Augmentation) for each in augmentations):
        raise ConfigError(
            f"the policy {name!r} says begins_with_crop={policy.begins_with_crop}, but gives {augmentations}",
            hint="it must give augmentations, a RandomCrop first where begins_with_crop is true and only there",
        )
    if not policy.turns and any(isinstance(each, (QuarterTurn, VerticalFlip)) for each in augmentations):
        raise ConfigError(
            f"the policy {name!r} says turns=False, but gives {augmentations}",
            hint="say turns=True: Policy(turns=True)",
        )
    return augmentations


def _enlarged(augmentation: Augmentation, unit: float) -> Augmentation:
    """The same augmentation for images in which so many pixels stand for one."""
    if isinstance(augmentation, RandomCrop):
        return replace(augmentation, padding=scaled(augmentation.padding, unit))
    if isinstance(augmentation, CoarseDropout):
        return replace(augmentation, size=scaled(augmentation.size, unit))
    if isinstance(augmentation, Blur):
        least, most = augmentation.sigma
        return replace(augmentation, sigma=(least * unit, most * unit))
    return augmentation


def _at_border(augmentation: Augmentation, border: Literal["policy", "reflect"]) -> Augmentation:
    if border == "reflect" and isinstance(augmentation, RandomCrop):
        return replace(augmentation, border="reflect")
    return augmentation


def _grey_levels(mean: Sequence[float]) -> tuple[int, ...]:
    return tuple(round(channel_mean * 255) for channel_mean in mean)


def _shift(padding: int) -> RandomCrop:
    return RandomCrop(padding=padding, border="reflect")


def _strong(*more: Augmentation) -> tuple[Augmentation, ...]:
    turn = ShiftScaleRotate(shift=0.0, scale=0.0, rotate_degrees=15.0, p=1.0)
    return _shift(4), *more, turn, ColorJitter(), Sharpen()  # the last, since turning blurs


def _photo(*more: Augmentation) -> tuple[Augmentation, ...]:
    return _shift(2), *more, Lighting(), Blur(), Noise(), Jpeg()  # in a camera's order


OWN: dict[str, Callable[[Sequence[float]], tuple[Augmentation, ...]]] = {
    "none": lambda mean: (),
    "crop-flip": lambda mean: (RandomCrop(padding=4, border="zero"),),
    "shift-flip": lambda mean: (_shift(1),),
    "shift2-flip": lambda mean: (_shift(2),),
    "shift4-flip": lambda mean: (_shift(4),),
    "flips": lambda mean: (_shift(2), VerticalFlip()),
    "turns": lambda mean: (_shift(2), QuarterTurn()),
    "strong": lambda mean: _strong(),
    "strong-flips": lambda mean: _strong(VerticalFlip()),
    "strong-turns": lambda mean: _strong(QuarterTurn()),
    "photo": lambda mean: _photo(),
    "photo-flips": lambda mean: _photo(VerticalFlip()),
    "photo-turns": lambda mean: _photo(QuarterTurn()),
    "albumentations": lambda mean: (ShiftScaleRotate(), CoarseDropout(size=16, p=0.5, fill=_grey_levels(mean))),
}
