"""Augmentations that change pixels by our kernels, which take a fifth of PyTorch's time for it."""

from __future__ import annotations

from jaxtyping import UInt8
from torch import Tensor

from thumbnet.augment import (
    Apply,
    Augmentation,
    ColorJitter,
    Draws,
    Sharpen,
    ShiftScaleRotate,
    apply_itself,
    colour_sums,
    source_rows,
)
from thumbnet.kernels.changes import MAX_TURNED_SIDE, mix_images, sharpen_images, turn_images
from thumbnet.kernels.images import supports_images
from thumbnet.kernels.library import Kernels


def apply_by(library: Kernels | None) -> Apply:
    """What changes images by our kernels where they know the augmentation, itself and no subclass, and can read the
    images; else, and without kernels, the augmentation does it. Of pixels halfway between two grey levels, some become
    the other one."""

    def apply(augmentation: Augmentation, images: UInt8[Tensor, "n c h w"], draws: Draws) -> UInt8[Tensor, "n c h w"]:
        if library is None or not supports_images(images, None, num_channels=images.shape[1]):
            return apply_itself(augmentation, images, draws)
        if type(augmentation) is ShiftScaleRotate and max(images.shape[2:]) <= MAX_TURNED_SIDE:
            sources = source_rows(draws).permute(2, 0, 1).float()
            return turn_images(library, images, draws["selected"], sources)
        if type(augmentation) is ColorJitter:
            return mix_images(library, images, *colour_sums(draws, images.shape[1]))
        if type(augmentation) is Sharpen:
            return sharpen_images(library, images, draws["factor"])
        return apply_itself(augmentation, images, draws)

    return apply
