"""What a recipe must know of augmentation policies before anything is loaded. `thumbnet.augment` makes them.

What a policy gives in pixels (shifts, holes, blur) holds for images whose shorter side has SIDE pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

from thumbnet.specs.code_reference import is_own_code
from thumbnet.specs.registry import Registry

SIDE = 32  # pixels
AUTO = "auto"  # in the place of a policy's name: one that `train` chooses


@dataclass(frozen=True, kw_only=True)
class PolicyTraits:
    """Whether a policy flips images by default, whether it begins with a random crop, as a teacher needs it, and
    whether it turns images or flips them upside down, which a teacher has not seen."""

    flips: bool = True
    begins_with_crop: bool = False
    turns: bool = False

    @property
    def suits_teacher(self) -> bool:
        """Whether a teacher that predicted crops beforehand has seen what a student is shown, up to colours."""
        return self.begins_with_crop and not self.turns


OF_OWN_CODE = PolicyTraits()


class Policies(Registry[PolicyTraits]):
    """The policies by name; code of the user's own, `aug.py:Name`, is one, too."""

    def __getitem__(self, name: str) -> PolicyTraits:
        return OF_OWN_CODE if is_own_code(name) else super().__getitem__(name)


POLICIES = Policies(
    "augmentation policy",
    "thumbnet.policies",
    {
        "none": PolicyTraits(flips=False),
        "crop-flip": PolicyTraits(begins_with_crop=True),
        "shift-flip": PolicyTraits(begins_with_crop=True),
        "shift2-flip": PolicyTraits(begins_with_crop=True),
        "shift4-flip": PolicyTraits(begins_with_crop=True),
        "flips": PolicyTraits(begins_with_crop=True, turns=True),
        "turns": PolicyTraits(begins_with_crop=True, turns=True),
        "strong": PolicyTraits(begins_with_crop=True),
        "strong-flips": PolicyTraits(begins_with_crop=True, turns=True),
        "strong-turns": PolicyTraits(begins_with_crop=True, turns=True),
        "photo": PolicyTraits(begins_with_crop=True),
        "photo-flips": PolicyTraits(begins_with_crop=True, turns=True),
        "photo-turns": PolicyTraits(begins_with_crop=True, turns=True),
        "albumentations": PolicyTraits(),
    },
)


def pixel_unit(sides: tuple[int, ...]) -> float:
    """How many pixels of an image with these sides stand for one of an image whose shorter side is SIDE."""
    return min(sides) / SIDE


def scaled(pixels: int, unit: float) -> int:
    """A number of pixels for images of another size, at least one; none stays none."""
    return max(1, round(pixels * unit)) if pixels else 0
