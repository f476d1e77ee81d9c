"""The traces that JPEG leaves in pictures, as an augmentation. Images are uint8 [N,C,H,W].

Computed as JPEG does (ITU-T T.81, with colours as in JFIF): the cosine transform of blocks of 8x8 pixels, whose values
are rounded to multiples that the quality sets. No file is written, and colours keep their full resolution, as in files
without chroma subsampling.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import torch
from jaxtyping import Float32, Int64, UInt8
from torch import Tensor
from torch.nn import functional as F

from thumbnet.augment.augmentation import Augmentation, Draws, check_probability, sample_selected
from thumbnet.augment.selected import change_selected, check_range

BLOCK = 8  # pixels along a side
MIDDLE = 128.0  # the level that is subtracted before the transform
BRIGHTNESS = (  # ITU-T T.81, table K.1: the steps at quality 50
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
COLOUR = (  # table K.2
    (17, 18, 24, 47, 99, 99, 99, 99),
    (18, 21, 26, 66, 99, 99, 99, 99),
    (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99),
    *((99,) * BLOCK,) * 4,
)
TO_JFIF = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))
FROM_JFIF = ((1.0, 0.0, 1.402), (1.0, -0.344136, -0.714136), (1.0, 1.772, 0.0))


@dataclass(frozen=True)
class Jpeg(Augmentation):
    """With probability `p`, an image as it looks after it was kept as a JPEG file of some quality.

    Draws: `selected` (bool); `quality` (int64), uniform within the field, both ends included; 100 is best.
    """

    quality: tuple[int, int] = (40, 95)
    p: float = 0.2

    def __post_init__(self) -> None:
        check_probability(self.p)
        check_range("JPEG's quality", self.quality, lowest=1, highest=100, example="(40, 95)")

    def check(self, image_shape: tuple[int, int, int]) -> None:
        """Every image can be compressed; incomplete blocks are filled with the edge pixel."""

    def draw(self, num_images: int, image_shape: tuple[int, int, int], generator: torch.Generator) -> Draws:
        lowest, highest = self.quality
        return {
            "selected": sample_selected(num_images, self.p, generator),
            "quality": torch.randint(lowest, highest + 1, (num_images,), generator=generator),
        }

    def apply(self, images: UInt8[Tensor, "n c h w"], draws: Draws) -> UInt8[Tensor, "n c h w"]:
        def change(pixels: Float32[Tensor, "m c h w"], positions: Int64[Tensor, " m"]) -> Float32[Tensor, "m c h w"]:
            return _compressed(pixels, quantisation(draws["quality"][positions]).to(pixels.device))

        return change_selected(images, draws["selected"], change)


def quantisation(quality: Int64[Tensor, " m"]) -> Float32[Tensor, "m 2 8 8"]:
    """The steps to whose multiples each frequency is rounded, for brightness and for colour, as libjpeg scales them."""
    percent = torch.where(quality < 50, 5000 // quality, 200 - 2 * quality)[:, None, None, None]
    tables = torch.tensor((BRIGHTNESS, COLOUR))
    return ((tables * percent + 50) // 100).clamp(1, 255).float()


def _compressed(pixels: Float32[Tensor, "m c h w"], steps: Float32[Tensor, "m 2 8 8"]) -> Float32[Tensor, "m c h w"]:
    """What is left of pixels whose frequencies are rounded to multiples of the steps."""
    _, channels, height, width = pixels.shape
    is_colour = channels == 3
    padded = F.pad(pixels, (0, -width % BLOCK, 0, -height % BLOCK), mode="replicate")
    levels = _mixed(TO_JFIF, padded).round_() if is_colour else padded
    levels[:, : 1 if is_colour else None].sub_(MIDDLE)  # colours lie around 0 already
    table = steps[:, [0, 1, 1] if is_colour else [0] * channels, None, :, None]  # [m,c,1,8,1,8]
    cosines = _cosines().to(pixels.device)
    rows = cosines @ levels.unflatten(2, (-1, BLOCK))
    frequencies = rows.unflatten(4, (-1, BLOCK)) @ cosines.mT  # [m,c,h/8,8,w/8,8]
    rounded = frequencies.div_(table).round_().mul_(table)
    left = (cosines.mT @ (rounded @ cosines).flatten(4)).flatten(2, 3)[:, :, :height, :width].round()
    left = left.clamp_(-MIDDLE, MIDDLE - 1)
    left[:, : 1 if is_colour else None].add_(MIDDLE)
    return _mixed(FROM_JFIF, left) if is_colour else left


def _mixed(matrix: tuple[tuple[float, ...], ...], pixels: Float32[Tensor, "m 3 h w"]) -> Float32[Tensor, "m 3 h w"]:
    mixed: Tensor = (pixels.new_tensor(matrix) @ pixels.flatten(2)).view_as(pixels)
    return mixed


@cache
def _cosines() -> Float32[Tensor, "8 8"]:
    """The orthogonal matrix of the cosine transform: a row for each frequency."""
    frequency, position = torch.arange(BLOCK, dtype=torch.float64)[:, None], torch.arange(BLOCK, dtype=torch.float64)
    cosines = torch.cos((2 * position + 1) * frequency * math.pi / (2 * BLOCK)) * math.sqrt(2 / BLOCK)
    cosines[0] /= math.sqrt(2)
    return cosines.float()
