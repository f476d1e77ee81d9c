"""What a recipe must know of augmentation policies before anything is loaded. `thumbnet.augment` makes them."""

from __future__ import annotations

from dataclasses import dataclass

from thumbnet.specs.registry import Registry


@dataclass(frozen=True, kw_only=True)
class PolicyTraits:
    """Whether a policy flips images by default, and whether it begins with a random crop, as a teacher needs it."""

    flips: bool = True
    begins_with_crop: bool = False


POLICIES: Registry[PolicyTraits] = Registry(
    "augmentation policy",
    "thumbnet.policies",
    {
        "none": PolicyTraits(flips=False),
        "crop-flip": PolicyTraits(begins_with_crop=True),
        "shift-flip": PolicyTraits(begins_with_crop=True),
        "shift2-flip": PolicyTraits(begins_with_crop=True),
        "strong": PolicyTraits(begins_with_crop=True),
        "albumentations": PolicyTraits(),
    },
)
