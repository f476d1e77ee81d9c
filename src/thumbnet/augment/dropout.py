"""Augmentations that hide pixels. Images are uint8 [N,C,H,W]."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Int64, UInt8
from torch import Tensor

from thumbnet.augment.augmentation import Augmentation, Draws, check_probability, drawn_for, sample_selected
from thumbnet.errors import ConfigError


@dataclass(frozen=True)
class CoarseDropout(Augmentation):
    """With probability `p`, paint one square of `size` pixels a side, wholly inside the image, in the colour `fill`.

    `fill` holds one grey level from 0 to 255 for each channel. (In the published recipe it was given from 0 to 1 and so
    came out black; that is refused here.)

    Draws: `selected` (bool), and `top` and `left` (int64), the square's corner, uniform on every place where it fits.
    """

    size: int = 16
    p: float = 0.5
    fill: tuple[int | float, ...] = field(kw_only=True)

    def __post_init__(self) -> None:
        check_probability(self.p)
        if self.size < 1:
            raise ConfigError(f"the hole's size is {self.size} pixels", hint="give 1 or more, or leave the dropout out")
        for level in self.fill:
            if not (0 <= level <= 255 and level == int(level)):
                raise ConfigError(
                    f"the hole's fill {self.fill} has {level}, which is no whole grey level from 0 to 255",
                    hint="give the mean of pixels scaled to 0..1, times 255 and rounded",
                )

    def check(self, image_shape: tuple[int, int, int]) -> None:
        """ConfigError where the hole is larger than the image or `fill` has not one level for each channel."""
        channels, height, width = image_shape
        if self.size > min(height, width):
            raise ConfigError(
                f"a hole of {self.size}x{self.size} pixels does not fit in an image of {width}x{height}",
                hint=f"give a size of at most {min(height, width)}, a larger image_size, or another policy",
            )
        if len(self.fill) != channels:
            raise ConfigError(
                f"the hole's fill has {len(self.fill)} grey levels, but the images have {channels} channels",
                hint="give one level for each channel",
            )

    def draw(self, num_images: int, image_shape: tuple[int, int, int], generator: torch.Generator) -> Draws:
        self.check(image_shape)
        _, height, width = image_shape
        return {
            "selected": sample_selected(num_images, self.p, generator),
            "top": torch.randint(height - self.size + 1, (num_images,), generator=generator),
            "left": torch.randint(width - self.size + 1, (num_images,), generator=generator),
        }

    def apply(self, images: UInt8[Tensor, "n c h w"], draws: Draws) -> UInt8[Tensor, "n c h w"]:
        _, _, height, width = images.shape
        hidden_rows = self._covered(drawn_for(images, draws["top"]), height)
        hidden_rows = hidden_rows & drawn_for(images, draws["selected"])[:, None]
        hidden_columns = self._covered(drawn_for(images, draws["left"]), width)
        hidden = hidden_rows[:, None, :, None] & hidden_columns[:, None, None, :]
        fill = torch.tensor(self.fill, dtype=torch.uint8, device=images.device)
        return torch.where(hidden, fill[:, None, None], images)

    def _covered(self, start: Int64[Tensor, " n"], length: int) -> Bool[Tensor, "n length"]:
        """For each image, which of `length` positions lie in the hole."""
        positions = torch.arange(length, device=start.device)
        return (positions >= start[:, None]) & (positions < start[:, None] + self.size)
