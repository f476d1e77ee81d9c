"""Crops from a small grid of offsets, mirrored or not: few enough that a teacher can be asked of every one of them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import UInt8
from torch import Tensor

from thumbnet.augment.augmentation import Augmentation, Draws
from thumbnet.augment.geometry import HorizontalFlip, RandomCrop
from thumbnet.errors import ConfigError


@dataclass(frozen=True)
class GridCrop(Augmentation):
    """`RandomCrop` whose window moves in steps of `step` pixels and, where it `flips`, `HorizontalFlip` after it.

    Draws: `variant` (int64), uniform on 0..num_variants - 1: 2 * (row * num_offsets + column), 1 more where mirrored;
    without `flips`, row * num_offsets + column.
    """

    padding: int = 4
    step: int = 2
    flips: bool = True

    def __post_init__(self) -> None:
        RandomCrop(self.padding)
        if self.step < 1 or 2 * self.padding % self.step:
            raise ConfigError(
                f"a window cannot cross {2 * self.padding} pixels in steps of {self.step}",
                hint="give a step that divides twice the padding",
            )

    @property
    def num_offsets(self) -> int:
        """Places of the window along either side."""
        return 2 * self.padding // self.step + 1

    @property
    def num_variants(self) -> int:
        """How many images can be made of one."""
        return self.num_offsets**2 * (2 if self.flips else 1)

    def check(self, image_shape: tuple[int, int, int]) -> None:
        """Every image can be cropped and mirrored."""

    def draw(self, num_images: int, image_shape: tuple[int, int, int], generator: torch.Generator) -> Draws:
        return {"variant": torch.randint(self.num_variants, (num_images,), generator=generator)}

    def apply(self, images: UInt8[Tensor, "n c h w"], draws: Draws) -> UInt8[Tensor, "n c h w"]:
        place, mirrored = draws["variant"], torch.zeros_like(draws["variant"])
        if self.flips:
            place, mirrored = place // 2, place % 2
        corner = {"top": place // self.num_offsets * self.step, "left": place % self.num_offsets * self.step}
        return HorizontalFlip().apply(RandomCrop(self.padding).apply(images, corner), {"selected": mirrored.bool()})
