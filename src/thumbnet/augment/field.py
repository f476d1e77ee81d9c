"""Augmentations for photographs: other light, a lens out of focus, a sensor's noise. Images are uint8 [N,C,H,W].

Each draws for every image whether it is changed, and works on those alone; compression.py has JPEG's traces.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from jaxtyping import Float32, Int64, UInt8
from torch import Tensor
from torch.nn import functional as F

from thumbnet.augment.augmentation import Augmentation, Draws, check_probability, sample_selected
from thumbnet.augment.selected import change_selected, check_range, per_image, uniform
from thumbnet.errors import ConfigError

WHITE = 255
MEAN_GRID = 32  # points along the shorter side
CUT_OFF = 4.0  # standard deviations beyond which a Gaussian is taken as 0, as SciPy's filter does
BANK_SIZE = 2**20  # numbers
BANK_SEED = 0


@dataclass(frozen=True)
class Lighting(Augmentation):
    """With probability `p`, change an image's brightness, contrast and warmth, as other light or another camera would.

    Brightness multiplies all pixels; contrast draws them away from the image's mean level (over a grid of about
    MEAN_GRID points a side) or towards it; warmth strengthens red as much as it weakens blue, of images with three
    channels. What leaves 0..255 is cut at the end.

    Draws: `selected` (bool); `brightness` and `contrast` (float32), factors, uniform within 1 plus or minus the field
    of that name; `warmth` (float32), uniform within plus or minus the field.
    """

    brightness: float = 0.3
    contrast: float = 0.3
    warmth: float = 0.1
    p: float = 0.75

    def __post_init__(self) -> None:
        check_probability(self.p)
        for name in ("brightness", "contrast", "warmth"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(
                    f"{name} is {getattr(self, name)}", hint="give 0 to 1: 0.1 draws factors from 0.9 to 1.1"
                )

    def check(self, image_shape: tuple[int, int, int]) -> None:
        """Every image can be brighter or darker."""

    def draw(self, num_images: int, image_shape: tuple[int, int, int], generator: torch.Generator) -> Draws:
        return {
            "selected": sample_selected(num_images, self.p, generator),
            "brightness": uniform((1 - self.brightness, 1 + self.brightness), num_images, generator),
            "contrast": uniform((1 - self.contrast, 1 + self.contrast), num_images, generator),
            "warmth": uniform((-self.warmth, self.warmth), num_images, generator),
        }

    def apply(self, images: UInt8[Tensor, "n c h w"], draws: Draws) -> UInt8[Tensor, "n c h w"]:
        assert len(draws["selected"]) == len(images)
        positions = draws["selected"].nonzero().flatten()  # found on the CPU, so that no device has to wait
        places = positions.to(images.device)
        step = max(1, min(images.shape[2:]) // MEAN_GRID)
        means = images[places, :, ::step, ::step].float().mean(dim=(1, 2, 3))
        brightness, contrast, warmth = (
            draws[name][positions].to(images.device) for name in ("brightness", "contrast", "warmth")
        )
        gains = (brightness * contrast)[:, None].repeat(1, images.shape[1])
        if images.shape[1] == 3:
            gains *= torch.stack([1 + warmth, torch.ones_like(warmth), 1 - warmth], dim=1)
        lifts = (means * brightness * (1 - contrast))[:, None, None]
        levels = torch.arange(WHITE + 1, device=images.device)
        tables = (levels * gains[:, :, None] + lifts).round().clamp(0, WHITE).to(torch.uint8)
        return _looked_up(images, places, tables)


@dataclass(frozen=True)
class Blur(Augmentation):
    """With probability `p`, blur an image with a Gaussian; the border is reflected, the edge pixel not repeated.

    From 2 pixels on it is nearly a Gaussian: the image is reduced, blurred by what is left, and enlarged, many times
    faster.

    Draws: `selected` (bool); `sigma` (float32), the standard deviation in pixels, uniform within the field.
    """

    sigma: tuple[float, float] = (0.3, 1.2)
    p: float = 0.2

    def __post_init__(self) -> None:
        check_probability(self.p)
        check_range("the blur's sigma", self.sigma, lowest=0.01, highest=1000, example="(0.3, 1.2) pixels")

    def check(self, image_shape: tuple[int, int, int]) -> None:
        """Every image can be blurred; at most as wide as it is."""

    def draw(self, num_images: int, image_shape: tuple[int, int, int], generator: torch.Generator) -> Draws:
        return {
            "selected": sample_selected(num_images, self.p, generator),
            "sigma": uniform(self.sigma, num_images, generator),
        }

    def apply(self, images: UInt8[Tensor, "n c h w"], draws: Draws) -> UInt8[Tensor, "n c h w"]:
        def change(pixels: Float32[Tensor, "m c h w"], positions: Int64[Tensor, " m"]) -> Float32[Tensor, "m c h w"]:
            sigma = draws["sigma"][positions]
            times = max(1, int(sigma.min()))
            if times == 1:
                return _blurred(pixels, sigma.to(pixels.device))
            # What is reduced and enlarged so many times is blurred already, by half as many pixels.
            height, width = pixels.shape[2:]
            small = F.interpolate(pixels, size=(-(-height // times), -(-width // times)), mode="area")
            left = (sigma**2 - times**2 / 4).sqrt() / times
            return F.interpolate(_blurred(small, left.to(pixels.device)), size=(height, width), mode="bilinear")

        return change_selected(images, draws["selected"], change)


@dataclass(frozen=True)
class Noise(Augmentation):
    """With probability `p`, add normally distributed noise to every value of an image.

    The numbers are those of a bank that is drawn once, since drawing a number for each value would take longer than a
    training step; what is random for an image is where in the bank it begins.

    Draws: `selected` (bool); `sigma` (float32), the standard deviation, of pixels in 0..1, uniform within the field;
    `start` (int64), the place in the bank.
    """

    sigma: tuple[float, float] = (0.0, 0.06)
    p: float = 0.2

    def __post_init__(self) -> None:
        check_probability(self.p)
        check_range("the noise's sigma", self.sigma, lowest=0, highest=1, example="(0.0, 0.06), of pixels in 0..1")

    def check(self, image_shape: tuple[int, int, int]) -> None:
        """Every image can be noisy."""

    def draw(self, num_images: int, image_shape: tuple[int, int, int], generator: torch.Generator) -> Draws:
        return {
            "selected": sample_selected(num_images, self.p, generator),
            "sigma": uniform(self.sigma, num_images, generator),
            "start": torch.randint(BANK_SIZE, (num_images,), generator=generator),
        }

    def apply(self, images: UInt8[Tensor, "n c h w"], draws: Draws) -> UInt8[Tensor, "n c h w"]:
        def change(pixels: Float32[Tensor, "m c h w"], positions: Int64[Tensor, " m"]) -> Float32[Tensor, "m c h w"]:
            shape = pixels.shape[1:]
            starts = draws["start"][positions].tolist()
            noise = torch.stack([_noise_from(start, shape.numel()) for start in starts]).to(pixels.device)
            return pixels.addcmul_(noise.unflatten(1, shape), per_image(draws["sigma"], positions, pixels), value=WHITE)

        return change_selected(images, draws["selected"], change)


def _looked_up(
    images: UInt8[Tensor, "n c h w"], places: Int64[Tensor, " m"], tables: UInt8[Tensor, "m c 256"]
) -> UInt8[Tensor, "n c h w"]:
    """The images, with each level of those at these places as its channel's table has it."""
    changed = images.clone(memory_format=torch.contiguous_format)
    if images.device.type != "cpu":
        levels = tables.gather(2, changed[places].flatten(2).long()).view(-1, *images.shape[1:])
        return changed.index_copy_(0, places, levels)
    array = changed.numpy()
    for place, of_channels in zip(places.tolist(), tables.numpy(), strict=True):
        for plane, table in zip(
            array[place], of_channels, strict=True
        ):  # ten times faster than an index for each pixel
            plane[...] = np.frombuffer(plane.tobytes().translate(table.tobytes()), np.uint8).reshape(plane.shape)
    return changed


def _blurred(pixels: Float32[Tensor, "m c h w"], sigma: Float32[Tensor, " m"]) -> Float32[Tensor, "m c h w"]:
    """Each image under its Gaussian, by whole matrices: faster than convolutions of one channel."""
    rows, columns = (_blurring(sigma, length)[:, None] for length in pixels.shape[2:])
    blurred: Tensor = rows @ pixels @ columns.mT
    return blurred


def _blurring(sigma: Float32[Tensor, " m"], length: int) -> Float32[Tensor, "m {length} {length}"]:
    """For each standard deviation, the matrix that blurs a line of so many pixels, reflected at both ends."""
    last = length - 1
    distance = torch.arange(2 * length - 1, device=sigma.device)
    reach = (CUT_OFF * sigma + 0.5).floor().clamp_max(last)[:, None]
    weights = torch.exp(-0.5 * (distance / sigma[:, None]) ** 2) * (distance <= reach)
    weights = weights / (2 * weights.sum(dim=1, keepdim=True) - weights[:, :1])
    to, source = distance[:length, None], distance[:length]
    direct, before, beyond = (
        weights[:, (to - source).abs()],
        weights[:, to + source],
        weights[:, 2 * last - to - source],
    )
    return direct + before * (source > 0) + beyond * (source < last)


def _noise_from(start: int, num_values: int) -> Float32[Tensor, " v"]:
    """So many numbers of the bank from a place on; after its last comes its first again."""
    bank = _bank()
    if start + num_values <= BANK_SIZE:
        return bank[start : start + num_values]
    return bank.repeat((start + num_values) // BANK_SIZE + 1)[start : start + num_values]


@cache
def _bank() -> Float32[Tensor, " b"]:
    """Normally distributed numbers, the same ones always."""
    return torch.randn(BANK_SIZE, generator=torch.Generator().manual_seed(BANK_SEED))
