"""Augmentations that change colours and contrast but move no pixel. Images are uint8 [N,C,H,W].

Source of the parametrisation: torchvision's ColorJitter and adjust_sharpness, which are those of Pillow's ImageEnhance;
hue is turned in YIQ, not in HSV, so that all of a jitter is one matrix an image.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float32, UInt8
from torch import Tensor

from thumbnet.augment.augmentation import Augmentation, Draws, drawn_for
from thumbnet.augment.selected import in_pieces
from thumbnet.errors import ConfigError

GREY = (0.299, 0.587, 0.114)  # a pixel's grey level from red, green and blue (ITU-R BT.601)
IN_PHASE = (0.5959, -0.2746, -0.3213)
QUADRATURE = (0.2115, -0.5227, 0.3112)
CENTRE_WEIGHT = 5  # of a pixel among its eight neighbours when it is smoothed, as in Pillow


@dataclass(frozen=True)
class ColorJitter(Augmentation):
    """Change brightness, contrast, saturation and hue, in this order, of every image; grey ones have the first two.

    Brightness multiplies pixels; contrast draws them away from the image's mean grey level, and saturation from their
    own grey level, or towards it; hue turns them about the grey axis. What leaves 0..255 is cut at the end only.

    Draws (float32): `brightness`, `contrast`, `saturation`: factors, uniform within 1 plus or minus the field of that
    name; `hue`: degrees, uniform within plus or minus `hue_degrees`.
    """

    brightness: float = 0.1
    contrast: float = 0.1
    saturation: float = 0.5
    hue_degrees: float = 18.0

    def __post_init__(self) -> None:
        for name in ("brightness", "contrast", "saturation"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(
                    f"{name} is {getattr(self, name)}", hint="give 0 to 1: 0.1 draws factors from 0.9 to 1.1"
                )
        if not 0 <= self.hue_degrees <= 180:
            raise ConfigError(f"hue_degrees is {self.hue_degrees}", hint="give 0 to 180 degrees")

    def check(self, image_shape: tuple[int, int, int]) -> None:
        """Every image has a colour, or a grey level."""

    def draw(self, num_images: int, image_shape: tuple[int, int, int], generator: torch.Generator) -> Draws:
        brightness, contrast, saturation, hue = (
            torch.rand(4, num_images, generator=generator, dtype=torch.float32) * 2 - 1
        )
        return {
            "brightness": 1 + brightness * self.brightness,
            "contrast": 1 + contrast * self.contrast,
            "saturation": 1 + saturation * self.saturation,
            "hue": hue * self.hue_degrees,
        }

    def apply(self, images: UInt8[Tensor, "n c h w"], draws: Draws) -> UInt8[Tensor, "n c h w"]:
        mixing, lifts, greys = colour_sums(draws, images.shape[1])
        pixels = images.flatten(2).float()
        offset = pixels.mean(dim=2) @ greys.to(images.device) * drawn_for(images, lifts)
        mixed = torch.baddbmm(offset[:, None, None], mixing.to(images.device), pixels)
        return mixed.clamp_(0, 255).round_().to(torch.uint8).view_as(images)


@dataclass(frozen=True)
class Sharpen(Augmentation):
    """Draw every pixel away from the smoothed image by a factor; 1 changes nothing, and the outermost pixels stay.

    Draws: `factor` (float32), uniform from 1 to `up_to`.
    """

    up_to: float = 2.2

    def __post_init__(self) -> None:
        if not 1 <= self.up_to < float("inf"):
            raise ConfigError(f"up_to is {self.up_to}", hint="give 1 or more: 2 draws factors from 1 to 2")

    def check(self, image_shape: tuple[int, int, int]) -> None:
        """Every image can be sharpened; one without inner pixels stays as it is."""

    def draw(self, num_images: int, image_shape: tuple[int, int, int], generator: torch.Generator) -> Draws:
        return {"factor": 1 + torch.rand(num_images, generator=generator, dtype=torch.float32) * (self.up_to - 1)}

    def apply(self, images: UInt8[Tensor, "n c h w"], draws: Draws) -> UInt8[Tensor, "n c h w"]:
        factor = drawn_for(images, draws["factor"])
        if min(images.shape[2:]) < 3:
            return images.clone()
        sharpened = images.clone()
        for some in in_pieces(torch.arange(len(images)), images):
            places = some.to(images.device)
            pixels = images[places].float()
            inner = pixels[:, :, 1:-1, 1:-1]
            rows = (pixels[:, :, :-2] + pixels[:, :, 1:-1]).add_(pixels[:, :, 2:])
            smoothed = (rows[..., :-2] + rows[..., 1:-1]).add_(rows[..., 2:])  # exact: these are whole numbers
            smoothed.add_(inner, alpha=CENTRE_WEIGHT - 1).div_(8 + CENTRE_WEIGHT)
            inner.copy_(torch.lerp(smoothed, inner, factor[places, None, None, None]))
            sharpened.index_copy_(0, places, pixels.clamp_(0, 255).round_().to(torch.uint8))
        return sharpened


def colour_sums(
    draws: Draws, channels: int
) -> tuple[Float32[Tensor, "n c c"], Float32[Tensor, " n"], Float32[Tensor, " c"]]:
    """What a `ColorJitter` makes of its draws: a pixel becomes the first times its channels, and the second times the
    image's mean grey level, of which the third has each channel's weight."""
    gain = draws["brightness"] * draws["contrast"]
    lifts = draws["brightness"] * (1 - draws["contrast"])
    if channels == len(GREY):
        return _mixing(draws["saturation"], draws["hue"]) * gain[:, None, None], lifts, gain.new_tensor(GREY)
    return torch.eye(channels, dtype=gain.dtype) * gain[:, None, None], lifts, gain.new_ones(channels) / channels


def _mixing(saturation: Float32[Tensor, " n"], hue: Float32[Tensor, " n"]) -> Float32[Tensor, "n 3 3"]:
    """What saturation and hue (degrees) make of red, green and blue; grey stays grey."""
    to_yiq = saturation.new_tensor((GREY, IN_PHASE, QUADRATURE))
    cos, sin = saturation * hue.deg2rad().cos(), saturation * hue.deg2rad().sin()
    one, zero = torch.ones_like(cos), torch.zeros_like(cos)
    turned = torch.stack([one, zero, zero, zero, cos, -sin, zero, sin, cos], dim=1).unflatten(1, (3, 3))
    mixing: Tensor = torch.linalg.inv(to_yiq) @ turned @ to_yiq
    return mixing
