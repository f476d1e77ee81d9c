"""Augmentations that only choose which pixels of an image are seen: our kernels do these without copying any."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, UInt8
from torch import Tensor

from thumbnet.augment import Augmentation, Draws, HorizontalFlip, Part, RandomCrop, draws_for
from thumbnet.kernels.images import Windows
from thumbnet.kernels.support import MAX_SIZE


def only_windows(augmentations: Sequence[Augmentation]) -> bool:
    """Whether these are at most a `RandomCrop` and then a `HorizontalFlip`, themselves and no subclass."""
    kinds = [type(each) for each in augmentations]
    fits = all(each.padding <= MAX_SIZE for each in augmentations if isinstance(each, RandomCrop))
    return fits and kinds in ([], [RandomCrop], [HorizontalFlip], [RandomCrop, HorizontalFlip])


def draw_windows(
    images: UInt8[Tensor, "n c h w"],
    augmentations: Sequence[Augmentation],
    generator: torch.Generator,
    *,
    flipped: Bool[Tensor, " n"] | None,
    drawn: list[Draws] | None,
    part: Part | None = None,
) -> Windows:
    """What the augmentations, for which `only_windows` holds, draw for images of which some are `flipped` before;
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
