"""Augmentations for scenes without an up and a down: flips and turns that keep every pixel. uint8 [N,C,H,W]."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import UInt8
from torch import Tensor

from thumbnet.augment.augmentation import Augmentation, Draws
from thumbnet.augment.geometry import Flip


@dataclass(frozen=True)
class VerticalFlip(Flip):
    """Flip upside down with probability `p`. Draws: `selected` (bool)."""

    axis = 2


@dataclass(frozen=True)
class QuarterTurn(Augmentation):
    """Turn by 0, 90, 180 or 270 degrees, each as likely; images that are not square by 0 or 180.

    Draws: `quarters` (int64), the number of quarter turns, anticlockwise.
    """

    def check(self, image_shape: tuple[int, int, int]) -> None:
        """Every image can be turned."""

    def draw(self, num_images: int, image_shape: tuple[int, int, int], generator: torch.Generator) -> Draws:
        _, height, width = image_shape
        step = 1 if height == width else 2
        return {"quarters": torch.randint(4 // step, (num_images,), generator=generator) * step}

    def apply(self, images: UInt8[Tensor, "n c h w"], draws: Draws) -> UInt8[Tensor, "n c h w"]:
        quarters = draws["quarters"]
        assert len(quarters) == len(images), f"draws for {len(quarters)} images applied to {len(images)}"
        turned = images.clone(memory_format=torch.contiguous_format)
        for number in quarters.unique().tolist():
            places = (quarters == number).nonzero().flatten().to(images.device)  # found on the CPU: no device waits
            turned.index_copy_(0, places, torch.rot90(images[places], number, (2, 3)))
        return turned
