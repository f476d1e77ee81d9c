"""Augmentations that move pixels: crop, flip, and shift with scale and rotation. Images are uint8 [N,C,H,W].

Reflection is always reflect-101 (dcb|abcd|cba: the edge pixel is not repeated), as in Albumentations and OpenCV.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from jaxtyping import Float32, Float64, UInt8
from torch import Tensor
from torch.nn import functional as F

from thumbnet.augment.augmentation import Augmentation, Draws, check_probability, drawn_for, sample_selected
from thumbnet.augment.selected import in_pieces
from thumbnet.errors import ConfigError

PAD_MODES = {"zero": "constant", "reflect": "reflect"}  # our border names to PyTorch's


@dataclass(frozen=True)
class RandomCrop(Augmentation):
    """Pad every side by `padding` pixels, then cut out the original size somewhere.

    Draws: `top` and `left` (int64), the window's corner in the padded image, uniform on 0..2*padding.
    """

    padding: int = 4
    border: Literal["zero", "reflect"] = "zero"

    def __post_init__(self) -> None:
        if self.padding < 0:
            raise ConfigError(f"the crop's padding is {self.padding} pixels", hint="give 0 or more")
        if self.border not in PAD_MODES:
            raise ConfigError(f"unknown border {self.border!r}", hint=f"choose one of {', '.join(PAD_MODES)}")

    def check(self, image_shape: tuple[int, int, int]) -> None:
        """ConfigError where a reflected border would need more pixels than the image has."""
        _, height, width = image_shape
        if self.border == "reflect" and self.padding >= min(height, width):
            raise ConfigError(
                f"a border of {self.padding} pixels cannot be reflected from an image of {width}x{height}",
                hint=f"give a padding of at most {min(height, width) - 1}, or border='zero'",
            )

    def draw(self, num_images: int, image_shape: tuple[int, int, int], generator: torch.Generator) -> Draws:
        self.check(image_shape)
        num_offsets = 2 * self.padding + 1
        return {
            "top": torch.randint(num_offsets, (num_images,), generator=generator),
            "left": torch.randint(num_offsets, (num_images,), generator=generator),
        }

    def apply(self, images: UInt8[Tensor, "n c h w"], draws: Draws) -> UInt8[Tensor, "n c h w"]:
        _, _, height, width = images.shape
        padded = F.pad(images, [self.padding] * 4, mode=PAD_MODES[self.border])
        windows = padded.unfold(2, height, 1).unfold(3, width, 1)  # a view: [N,C,top,left,H,W]
        rows = torch.arange(len(images), device=images.device)
        return windows[rows, :, drawn_for(images, draws["top"]), drawn_for(images, draws["left"])]


@dataclass(frozen=True)
class Flip(Augmentation):
    """Flip along `axis` of [N,C,H,W] with probability `p`. Draws: `selected` (bool)."""

    axis: ClassVar[int]
    p: float = 0.5

    def __post_init__(self) -> None:
        check_probability(self.p)

    def check(self, image_shape: tuple[int, int, int]) -> None:
        """Every image can be flipped."""

    def draw(self, num_images: int, image_shape: tuple[int, int, int], generator: torch.Generator) -> Draws:
        return {"selected": sample_selected(num_images, self.p, generator)}

    def apply(self, images: UInt8[Tensor, "n c h w"], draws: Draws) -> UInt8[Tensor, "n c h w"]:
        selected = drawn_for(images, draws["selected"])
        either = torch.cat([images, images.flip(self.axis)])  # and choosing rows: 4 times faster than torch.where
        return either.index_select(0, torch.arange(len(images), device=images.device) + len(images) * selected)


@dataclass(frozen=True)
class HorizontalFlip(Flip):
    """Flip left and right with probability `p`. Draws: `selected` (bool)."""

    axis = 3


@dataclass(frozen=True)
class ShiftScaleRotate(Augmentation):
    """With probability `p`, scale and rotate about the image's centre, then shift; bilinear, reflected border.

    Draws, each uniform (float64 unless stated):
        selected: bool, the images to change.
        degrees: anticlockwise, within plus or minus `rotate_degrees`.
        scale_x, scale_y: within 1 plus or minus `scale`. As in Albumentations 2.0.8 the two are independent.
        shift_x, shift_y: int64, pixels to the right and down: a fraction of the width and of the height within plus or
            minus `shift`, cut to whole pixels towards zero, again as there (32 pixels and 0.0625 give -1, 0 or 1).
    """

    shift: float = 0.0625
    scale: float = 0.1
    rotate_degrees: float = 45.0
    p: float = 0.5

    def __post_init__(self) -> None:
        check_probability(self.p)
        if not 0 <= self.shift <= 1:
            raise ConfigError(f"shift is {self.shift}", hint="give a fraction of the image's side, from 0 to 1")
        if not 0 <= self.scale < 1:
            raise ConfigError(f"scale is {self.scale}", hint="give 0 to below 1: 0.1 draws factors from 0.9 to 1.1")
        if not 0 <= self.rotate_degrees <= 180:
            raise ConfigError(f"rotate_degrees is {self.rotate_degrees}", hint="give 0 to 180 degrees")

    def check(self, image_shape: tuple[int, int, int]) -> None:
        """Every image can be turned."""

    def draw(self, num_images: int, image_shape: tuple[int, int, int], generator: torch.Generator) -> Draws:
        _, height, width = image_shape
        selected = sample_selected(num_images, self.p, generator)
        degrees, scale_x, scale_y, shift_x, shift_y = (
            torch.rand(5, num_images, generator=generator, dtype=torch.float64) * 2 - 1
        )
        return {
            "selected": selected,
            "degrees": degrees * self.rotate_degrees,
            "scale_x": 1 + scale_x * self.scale,
            "scale_y": 1 + scale_y * self.scale,
            "shift_x": (shift_x * self.shift * width).long(),
            "shift_y": (shift_y * self.shift * height).long(),
        }

    def apply(self, images: UInt8[Tensor, "n c h w"], draws: Draws) -> UInt8[Tensor, "n c h w"]:
        assert len(draws["selected"]) == len(images)
        changed = images.clone()
        for selected in in_pieces(draws["selected"].nonzero().flatten(), images):
            positions = selected.to(images.device)
            grid = _source_grid({name: draw[selected] for name, draw in draws.items()}, images)
            moved = F.grid_sample(
                images[positions].float(), grid, mode="bilinear", padding_mode="reflection", align_corners=True
            )  # with align_corners, this reflection is reflect-101
            changed.index_copy_(0, positions, moved.round_().to(torch.uint8))
        return changed


def source_rows(draws: Draws) -> Float64[Tensor, "2 3 m"]:
    """Where the pixels of the m results come from: x = row[0] x' + row[1] y' + row[2], first for x, then for y.

    All are pixels to the right of the image's centre and below it. Forward: source -> scale -> rotate -> shift; this is
    its inverse.
    """
    radians = draws["degrees"].deg2rad()
    cos, sin = radians.cos(), radians.sin()
    shift_x, shift_y = draws["shift_x"], draws["shift_y"]
    x_row = torch.stack([cos, -sin, sin * shift_y - cos * shift_x]) / draws["scale_x"]
    y_row = torch.stack([sin, cos, -sin * shift_x - cos * shift_y]) / draws["scale_y"]
    return torch.stack([x_row, y_row])


def _source_grid(draws: Draws, images: UInt8[Tensor, "n c h w"]) -> Float32[Tensor, "m h w 2"]:
    """Where the pixels of the m results come from (`source_rows`), as (x, y) in grid_sample's units: -1 and 1 are the
    outer pixels.

    (F.affine_grid would refuse an empty batch and warn of images one pixel wide.)
    """
    _, _, height, width = images.shape
    centre_x, centre_y = (width - 1) / 2, (height - 1) / 2
    x_row, y_row = source_rows(draws)
    matrices = torch.stack([x_row / (centre_x or 1), y_row / (centre_y or 1)], dim=-1)  # [3,m,2]
    by_x, by_y, constant = matrices.float().to(images.device)[:, :, None, None, :]
    x = torch.arange(width, device=images.device)[:, None] - centre_x
    y = torch.arange(height, device=images.device)[:, None, None] - centre_y
    grid: Tensor = by_x * x + by_y * y + constant
    return grid
