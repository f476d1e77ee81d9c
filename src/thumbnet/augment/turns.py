"""Augmentations for scenes without an up and a down: flips and turns that keep every pixel. uint8 [N,C,H,W]."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import UInt8
from torch import Tensor

from thumbnet.augment.augmentation import Augmentation, Draws, check_probability, drawn_for, sample_selected


@dataclass(frozen=True)
class VerticalFlip(Augmentation):
    """Flip upside down with probability `p`. Draws: `selected` (bool)."""

    p: float = 0.5

    def __post_init__(self) -> None:
        check_probability(self.p)

    def check(self, image_shape: tuple[int, int, int]) -> None:
        """Every image can be flipped."""

    def draw(self, num_images: int, image_shape: tuple[int, int, int], generator: torch.Generator) -> Draws:
        return {"selected": sample_selected(num_images, self.p, generator)}

    def apply(self, images: UInt8[Tensor, "n c h w"], draws: Draws) -> UInt8[Tensor, "n c h w"]:
        selected = drawn_for(images, draws["selected"])
        either = torch.cat([images, images.flip(2)])
        return either.index_select(0, torch.arange(len(images), device=images.device) + len(images) * selected)


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
