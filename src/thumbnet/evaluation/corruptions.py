"""Corruptions: what happens to pictures between the camera and the network. Images are uint8 [N,C,H,W], C 1 or 3.

The kinds are those of Hendrycks and Dietterich, "Benchmarking Neural Network Robustness to Common Corruptions and
Perturbations" (2019, arXiv:1903.12261), as far as they need no assets, with shifts and rotations; the strengths are our
own. What is beyond a border is reflected as in `thumbnet.augment`: the edge pixel is not repeated.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float32, Int64, UInt8
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from thumbnet.augment import Draws, ShiftScaleRotate
from thumbnet.specs.policies import pixel_unit

WHITE = 255
DIRECTIONS = ((1, 0), (1, 1), (0, 1), (-1, 1), (-1, 0), (-1, -1), (0, -1), (1, -1))  # (right, down): the eight of chess


@dataclass(frozen=True)
class Corruption:
    """One kind of corruption; `corrupt` carries it out.

    `strengths` go from mild to severe, in `unit`, for people. `draw` samples random choices for images of a shape
    [N,C,H,W], one entry an image, or none if the corruption is not random; `apply` takes images, a strength and these
    choices by name. Strengths `in_pixels` are those of images whose shorter side has 32: see `strengths_for`.
    """

    name: str
    unit: str
    strengths: tuple[float, ...]
    apply: Callable[..., Tensor]
    draw: Callable[[tuple[int, ...], torch.Generator], Draws] = lambda shape, generator: {}
    in_pixels: bool = False


def strengths_for(corruption: Corruption, sides: tuple[int, ...]) -> tuple[float, ...]:
    """The corruption's strengths for images of this height and width: those in pixels grow with the shorter side.

    They do not shrink below 32 pixels, where half a pixel's shift or blur would be next to nothing.
    """
    unit = pixel_unit(sides)
    if not corruption.in_pixels or unit <= 1:
        return corruption.strengths
    digits = None if all(isinstance(strength, int) for strength in corruption.strengths) else 4
    return tuple(round(strength * unit, digits) for strength in corruption.strengths)


def corrupt(
    images: UInt8[Tensor, "n c h w"], corruption: Corruption, strength: float, generator: torch.Generator
) -> UInt8[Tensor, "n c h w"]:
    """The images so corrupted, as a new tensor on the CPU, where they must be.

    Generators in equal states draw the same at every strength: the same grains of noise, larger or smaller.
    """
    corrupted: Tensor = corruption.apply(images, strength, **corruption.draw(tuple(images.shape), generator))
    return corrupted


def add_noise(
    images: UInt8[Tensor, "n c h w"], sigma: float, *, noise: Float32[Tensor, "n c h w"]
) -> UInt8[Tensor, "n c h w"]:
    """Each value plus its own `noise`, normally distributed, times `sigma`, which is of pixels in 0..1."""
    return _to_levels(images + sigma * WHITE * noise)


def sample_noise(shape: tuple[int, ...], generator: torch.Generator) -> Draws:
    return {"noise": torch.randn(shape, generator=generator)}


def blur(images: UInt8[Tensor, "n c h w"], sigma: float) -> UInt8[Tensor, "n c h w"]:
    """Each channel under a Gaussian of standard deviation `sigma` pixels, cut off at four standard deviations."""
    from scipy.ndimage import gaussian_filter

    blurred = gaussian_filter(images.numpy(), sigma, axes=(2, 3), mode="mirror", output=np.float32)
    return _to_levels(torch.from_numpy(blurred))


def brighten(images: UInt8[Tensor, "n c h w"], amount: float) -> UInt8[Tensor, "n c h w"]:
    """Every value plus `amount`, which is of pixels in 0..1; cut off at white."""
    return _to_levels(images + amount * WHITE)


def darken(images: UInt8[Tensor, "n c h w"], amount: float) -> UInt8[Tensor, "n c h w"]:
    """Every value less `amount`, which is of pixels in 0..1; cut off at black."""
    return brighten(images, -amount)


def lower_contrast(images: UInt8[Tensor, "n c h w"], share: float) -> UInt8[Tensor, "n c h w"]:
    """Every value moved towards its image's mean (over all channels) by this share of the way: at 1 all is grey."""
    values = images.float()
    return _to_levels(values.lerp(values.mean(dim=(1, 2, 3), keepdim=True), share))


def compress(images: UInt8[Tensor, "n c h w"], quality: float) -> UInt8[Tensor, "n c h w"]:
    """Each image written as JPEG and read again, by Pillow; `quality`, a whole number, is 0 (worst) to 100."""
    compressed = torch.empty_like(images)
    for index, pixels in enumerate(images.permute(0, 2, 3, 1).numpy()):
        file = io.BytesIO()
        Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels).save(file, "JPEG", quality=int(quality))
        with Image.open(file) as read:
            compressed[index] = torch.from_numpy(np.array(read).reshape(pixels.shape)).permute(2, 0, 1)
    return compressed


def pixelate(images: UInt8[Tensor, "n c h w"], factor: float) -> UInt8[Tensor, "n c h w"]:
    """The images as if each side had `factor` (1 or more) times fewer pixels, rounded to a whole number: each larger
    pixel has the mean colour of the pixels whose centres lie in it."""
    rows, columns = (_squares(side, factor) for side in images.shape[2:])
    row_weights, column_weights = (one_hot / one_hot.sum(0) for one_hot in (F.one_hot(rows), F.one_hot(columns)))
    means = torch.einsum("nchw,hi,wj->ncij", images.float(), row_weights, column_weights)
    return _to_levels(means)[:, :, rows][:, :, :, columns]


def shift(
    images: UInt8[Tensor, "n c h w"], distance: float, *, right: Int64[Tensor, " n"], down: Int64[Tensor, " n"]
) -> UInt8[Tensor, "n c h w"]:
    """Moved by `distance` pixels, a whole number, along each axis where `right` or `down` is 1, back where it is -1."""
    return _move(images, shift_x=right * int(distance), shift_y=down * int(distance))


def sample_shift(shape: tuple[int, ...], generator: torch.Generator) -> Draws:
    """One of the eight directions for each image."""
    chosen = torch.tensor(DIRECTIONS)[torch.randint(len(DIRECTIONS), shape[:1], generator=generator)]
    return {"right": chosen[:, 0], "down": chosen[:, 1]}


def rotate(images: UInt8[Tensor, "n c h w"], degrees: float, *, turn: Float[Tensor, " n"]) -> UInt8[Tensor, "n c h w"]:
    """Turned about the centre, bilinearly: anticlockwise where `turn` is 1, clockwise where it is -1."""
    return _move(images, degrees=turn * degrees)


def sample_turn(shape: tuple[int, ...], generator: torch.Generator) -> Draws:
    """Either way with the same probability."""
    return {"turn": torch.randint(2, shape[:1], generator=generator) * 2.0 - 1.0}


CORRUPTIONS = (
    Corruption(
        "noise", "standard deviation, of pixels in 0..1", (0.01, 0.02, 0.04, 0.08, 0.16), add_noise, sample_noise
    ),
    Corruption("blur", "standard deviation in pixels", (0.5, 0.7, 1.0, 1.5, 2.0), blur, in_pixels=True),
    Corruption("brighter", "added to pixels in 0..1", (0.1, 0.2, 0.3, 0.45, 0.6), brighten),
    Corruption("darker", "taken from pixels in 0..1", (0.1, 0.2, 0.3, 0.45, 0.6), darken),
    Corruption("contrast", "share taken away", (0.3, 0.5, 0.6, 0.75, 0.9), lower_contrast),
    Corruption("JPEG", "quality, 100 is best", (90, 70, 50, 30, 10), compress),
    Corruption("pixelation", "times fewer pixels a side", (1.1, 1.25, 1.5, 2, 3), pixelate, in_pixels=True),
    Corruption("shift", "pixels, in one of eight directions", (1, 2, 4, 6, 8), shift, sample_shift, in_pixels=True),
    Corruption("rotation", "degrees, either way", (5, 10, 20, 30, 45), rotate, sample_turn),
)  # fmt: skip


def _move(images: UInt8[Tensor, "n c h w"], **draws: Tensor) -> UInt8[Tensor, "n c h w"]:
    """The images moved by ShiftScaleRotate with the given draws, one entry an image; nothing else changes."""
    still, whole = torch.zeros(len(images), dtype=torch.float64), torch.ones(len(images), dtype=torch.float64)
    unmoved = {"degrees": still, "scale_x": whole, "scale_y": whole, "shift_x": still, "shift_y": still}
    return ShiftScaleRotate().apply(images, {"selected": whole.bool(), **unmoved, **draws})


def _squares(side: int, factor: float) -> Int64[Tensor, " side"]:
    """For each pixel along a side, in which of the fewer its centre lies."""
    num_squares = max(1, round(side / factor))
    return ((torch.arange(side) + 0.5) * num_squares / side).long()


def _to_levels(values: Float32[Tensor, "n c h w"]) -> UInt8[Tensor, "n c h w"]:
    return values.round().clamp(0, WHITE).to(torch.uint8)
