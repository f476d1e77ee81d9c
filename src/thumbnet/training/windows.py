"""Augmentations that only choose which pixels of an image are seen: our kernels do these without copying any."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, UInt8
from torch import Tensor

from thumbnet.augment import Augmentation, Draws, HorizontalFlip, Part, RandomCrop, draws_for
from thumbnet.kernels.images import Windows
from thumbnet.kernels.support import MAX_SIZE


def split_windows(augmentations: Sequence[Augmentation]) -> tuple[Sequence[Augmentation], Sequence[Augmentation]]:
    """The `RandomCrop`, `HorizontalFlip`, or both, that these begin with, themselves and no subclass; and the rest."""
    num_first = 0
    for kind in (RandomCrop, HorizontalFlip):
        first = augmentations[num_first] if num_first < len(augmentations) else None
        fits = not isinstance(first, RandomCrop) or first.padding <= MAX_SIZE
        num_first += type(first) is kind and fits
    return augmentations[:num_first], augmentations[num_first:]


def draw_windows(
    images: UInt8[Tensor, "n c h w"],
    augmentations: Sequence[Augmentation],
    generator: torch.Generator,
    *,
    flipped: Bool[Tensor, " n"] | None,
    drawn: list[Draws] | None,
    part: Part | None = None,
) -> Windows:
    """What the augmentations, the first that `split_windows` gives, draw for images of which some are `flipped` before;
    `part` as in `draws_for`."""
    top = left = None
    flips, padding, reflects = flipped, 0, False
    for augmentation in augmentations:
        draws = draws_for(augmentation, images, generator, part)
        if drawn is not None:
            drawn.append(draws)
        if isinstance(augmentation, RandomCrop):
            padding, reflects = augmentation.padding, augmentation.border == "reflect"
            top, left = draws["top"], draws["left"]
            if flipped is not None:  # the same as this window of the image itself, flipped
                left = torch.where(flipped, 2 * padding - left, left)
        else:
            flips = draws["selected"] if flipped is None else flipped ^ draws["selected"]
    return Windows(top, left, flips, padding, reflects)
