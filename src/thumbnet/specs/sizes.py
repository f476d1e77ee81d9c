"""How large pictures become, and how one of another shape is brought to that. Imports no torch."""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

from thumbnet.errors import ConfigError
from thumbnet.specs.checks import MAX_IMAGE_SIZE, require, shown

Sides: TypeAlias = tuple[int, int]  # height and width in pixels
ImageSize: TypeAlias = int | tuple[int, ...] | Literal["auto"]  # of a square the side, height and width, or by the data
SideLimits: TypeAlias = tuple[int, int | None]  # the least and the largest side in pixels; None: no largest
ANY_SIDE: SideLimits = (1, None)
Fit: TypeAlias = Literal["crop", "letterbox"]
FITS: tuple[Fit, ...] = get_args(Fit)
MIN_IMAGE_SIZE = 4


def check_image_size(image_size: ImageSize) -> None:
    """ConfigError for a side in pixels that is too small for an image or too large for memory, or what is no size."""
    if image_size == "auto":
        return
    is_pair = isinstance(image_size, tuple) and len(image_size) == 2
    if isinstance(image_size, str | list | tuple) and not is_pair:
        shape = list(image_size) if isinstance(image_size, tuple) else shown(image_size)
        raise ConfigError(
            f"image_size is {shape}",
            hint='give a side in pixels, two ([height, width], in Python (height, width)), or "auto"',
        )
    for side in image_size if isinstance(image_size, tuple) else (image_size,):
        if side > MAX_IMAGE_SIZE:
            raise ConfigError(
                f"image_size is {side}: a hundred colour images of that side take {300e-9 * side**2:,.0f} GB",
                hint=f"image_size must be at most {MAX_IMAGE_SIZE} pixels",
            )
        require(side >= MIN_IMAGE_SIZE, "image_size", side, f"at least {MIN_IMAGE_SIZE} pixels")


def check_fit(fit: str) -> None:
    """ConfigError for a word that names no way of fitting."""
    if fit not in FITS:
        raise ConfigError(f"fit is {shown(fit)}", hint=f"fit is one of {', '.join(FITS)}")


def as_sides(image_size: int | tuple[int, ...]) -> Sides:
    """Height and width of a checked size."""
    if isinstance(image_size, tuple):
        height, width = image_size
        return height, width
    return image_size, image_size


def filling_side(sides: Sides, fit: Fit) -> int:
    """Which side of a picture a square image is filled by: the shorter one, or the longer one where all is kept."""
    return max(sides) if fit == "letterbox" else min(sides)


def as_image_size(sides: Sides) -> int | Sides:
    """The shortest way to write a height and a width: one side for a square."""
    height, width = sides
    return height if height == width else (height, width)


def written(sides: Sides) -> str:
    """A height and a width as people write them: "128x96 pixels" is 128 wide and 96 high."""
    return f"{sides[1]}x{sides[0]} pixels"
