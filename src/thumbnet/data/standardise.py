"""Any Pillow image as a network takes it: upright, on white, in 8 bits, of its size and number of channels.

Grey or colour is decided by how the file stores its pixels: 1, L, LA, I;16, I and F are grey, and so is a palette of
which only greys show; everything else is colour, also an RGB file that happens to look grey, so that JPEG's rounding
of one file cannot change the number of channels of a whole dataset.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageChops, ImageOps

from thumbnet.data.plain_images import composed_on_white, turned_upright
from thumbnet.data.white_levels import (
    LevelKind,
    highest_level,
    level_kind,
    scaled_to_8_bits,
    white_of_one,
)
from thumbnet.errors import ConfigError, ImageError
from thumbnet.specs.data import WhiteLevels
from thumbnet.specs.sizes import Fit, Sides, as_sides

GREY = 128  # around letterboxed pictures
RESAMPLING = Image.Resampling.BICUBIC  # Pillow widens its kernel when it shrinks: that is the antialiasing


@dataclass(frozen=True)
class Depth:
    """How deep a picture's file is.

    Of a grey file with more than 8 bits, `kind` is that of white_levels.py, `highest` its highest level and `white` the
    level that became 255. Of a colour file with 16 bits, of which Pillow keeps the upper 8, `highest_of_colour` is the
    highest of these (0 to 255). Each is None elsewhere.
    """

    kind: LevelKind | None = None
    highest: float | None = None
    white: float | None = None
    highest_of_colour: int | None = None


EIGHT_BITS = Depth()


@dataclass(frozen=True)
class Picture:
    """A picture as `read_picture` gives it, upright, on white, of mode L or RGB, and how deep its file is."""

    image: Image.Image
    depth: Depth = EIGHT_BITS

    @property
    def num_channels(self) -> int:
        """1 if the file is stored in greys, else 3."""
        return 1 if self.image.mode == "L" else 3


def image_to_array(image: Image.Image, *, image_size: int, num_channels: int) -> UInt8[np.ndarray, "c h w"]:
    """The centre square of a Pillow image as uint8 [num_channels, image_size, image_size], 0 to 255.

    Any mode and size: what `read_image` does to a picture is done here too where it was not yet. A colour picture in
    one channel is its luma (ITU-R 601), a grey one in three is the same channel three times.

    Raises:
        ConfigError: `image_size` is below 1.
        ImageError: the image has no pixels, or levels that cannot be brought to 8 bits.
    """
    return centre_part(standardise(image), image_size, num_channels)


def standardise(image: Image.Image) -> Image.Image:
    """`image` upright, composed on white, in 8 bits: mode L or RGB, the same size (width and height may swap places).

    Raises:
        ImageError: the image has no pixels, or levels that cannot be brought to 8 bits.
    """
    return standardised(image, None).image


def centre_part(image: Image.Image, image_size: int | tuple[int, int], num_channels: int) -> UInt8[np.ndarray, "c h w"]:
    """The centre of a picture of mode L or RGB, resized to a square, or to a height and a width, in 1 or 3 channels."""
    assert num_channels in (1, 3)
    height, width = as_sides(image_size)
    if min(height, width) < 1:
        raise ConfigError(f"image_size is {image_size}", hint="give a side in pixels, for instance 32")
    mode = "L" if num_channels == 1 else "RGB"
    channels = image if image.mode == mode else image.convert(mode)
    part = ImageOps.fit(channels, (width, height), method=RESAMPLING)
    pixels = np.array(part).reshape(height, width, num_channels)
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))


def letterboxed(image: Image.Image, sides: Sides, num_channels: int) -> UInt8[np.ndarray, "c h w"]:
    """All of a picture of mode L or RGB, resized to fit into a height and a width, with grey around it where it is of
    another shape, in 1 or 3 channels."""
    assert num_channels in (1, 3)
    height, width = sides
    mode = "L" if num_channels == 1 else "RGB"
    channels = image if image.mode == mode else image.convert(mode)
    scale = min(height / image.height, width / image.width)
    inner_width, inner_height = (max(1, round(side * scale)) for side in image.size)
    box = Image.new(mode, (width, height), GREY if num_channels == 1 else (GREY,) * 3)
    inner = channels.resize((inner_width, inner_height), RESAMPLING)
    box.paste(inner, ((width - inner_width) // 2, (height - inner_height) // 2))
    pixels = np.array(box).reshape(height, width, num_channels)
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))


def fitted(image: Image.Image, sides: Sides, num_channels: int, fit: Fit) -> UInt8[np.ndarray, "c h w"]:
    """A picture of mode L or RGB brought to a height and a width: its centre part, or all of it in a grey box."""
    return letterboxed(image, sides, num_channels) if fit == "letterbox" else centre_part(image, sides, num_channels)


def standardised(image: Image.Image, white_levels: WhiteLevels | None) -> Picture:
    """`standardise`, with how deep the picture is; deep grey levels are scaled by `white_levels` (white_levels.py)."""
    if 0 in image.size:
        raise ImageError(f"an image of {image.width}x{image.height} pixels", hint="take it out: it has no pixels")
    upright = turned_upright(image)
    if upright.mode in ("I", "F") or upright.mode.startswith("I;16"):
        kind = level_kind(image)
        highest = highest_level(upright)
        given = None if white_levels is None or kind is None else white_levels.get(kind)
        white = white_of_one(kind, highest) if given is None else given
        return Picture(scaled_to_8_bits(upright, white=white), Depth(kind, highest, white))
    on_white = composed_on_white(upright)
    if upright.mode in ("P", "PA"):
        red, green, blue = on_white.split()
        same = not any(ImageChops.difference(red, other).getbbox() for other in (green, blue))
        return Picture(red if same else on_white)
    mode = "L" if upright.mode in ("1", "L", "LA", "La") else "RGB"
    is_apart = on_white is not image and on_white.mode == mode  # a copy of a large picture takes 4 bytes a pixel
    return Picture(on_white if is_apart else on_white.convert(mode))


def highest_level_of_bands(image: Image.Image) -> int:
    """The highest level of any band but alpha."""
    bands = image.split()[: 1 if image.mode == "LA" else 3]
    return max(int(np.asarray(band).max()) for band in bands)
