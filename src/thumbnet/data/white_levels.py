"""Which level is white in grey pictures with more than 8 bits a pixel: 12 bits are often kept in files of 16.

A file says how many bits it has room for, not how many are used. So a whole set of pictures is given one scale, by the
highest level in it, and a model's card keeps that scale for the pictures that it is to predict.

The kind of a deep picture is Pillow's mode: `I;16` (16 bits), `I` (32 bits) or `F` (floating point). A 16-bit PGM is
none of these kinds: its header states its white.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
from PIL import Image

from thumbnet.errors import ImageError
from thumbnet.specs.data import WhiteLevels
from thumbnet.terminal.text import counted

LevelKind = Literal["I;16", "I", "F"]

BITS_16 = 2.0**16 - 1
AS_FILES_SAY: WhiteLevels = {"I;16": BITS_16}  # how all pictures were read before sets had a scale
# Of a single picture of mode I or F, white is the first of these that no pixel exceeds.
INTEGER_WHITES = (2.0**8 - 1, BITS_16, 2.0**31 - 1)
FLOAT_WHITES = (1.0, *INTEGER_WHITES)
# Of a set, the first of these that no pixel exceeds: what cameras, scanners and sensors deliver.
USED_BITS = (8, 10, 12, 14, 16)
SET_WHITES: Mapping[str, tuple[float, ...]] = {
    "I;16": tuple(2.0**bits - 1 for bits in USED_BITS),
    "I": (*(2.0**bits - 1 for bits in USED_BITS), 2.0**31 - 1),
    "F": FLOAT_WHITES,
}


def scale_for(kept: WhiteLevels | None) -> WhiteLevels | None:
    """What `load_dataset` is given for a model that keeps these white levels: None is an old model, of which 16 bits
    were taken for full; one that knows no deep pictures lets their set decide."""
    return AS_FILES_SAY if kept is None else kept or None


def level_kind(image: Image.Image) -> LevelKind | None:
    """The kind of a deep grey picture; None where its levels have 8 bits, or where its file states its white."""
    if image.mode.startswith("I;16"):
        return "I;16"
    if image.mode == "F":
        return "F"
    states_white = image.format == "PPM"  # Pillow scales its levels to 16 bits
    return "I" if image.mode == "I" and not states_white else None


def highest_level(image: Image.Image) -> float:
    """Of a deep grey picture; ImageError where its levels are below 0, not numbers, or beyond every white."""
    if image.mode.startswith("I;16"):
        return float(np.asarray(image).max())
    levels = np.asarray(image)
    lowest, highest = float(levels.min()), float(levels.max())
    if not (lowest >= 0 and highest <= FLOAT_WHITES[-1]):
        raise ImageError(
            f"its grey levels go from {lowest:g} to {highest:g}, and what is black and white in it is not known",
            hint="save it with 8 or 16 bits",
        )
    return highest


def white_of_one(kind: LevelKind | None, highest: float) -> float:
    """White of a single picture of which no set is known: all that 16 bits hold, or by its highest level."""
    if kind in ("I;16", None):
        return BITS_16
    return min(white for white in (FLOAT_WHITES if kind == "F" else INTEGER_WHITES) if highest <= white)


def white_of_set(kind: str, highest: float) -> float:
    """White of a set of pictures of one kind, by the highest level in any of them."""
    return min(white for white in SET_WHITES[kind] if highest <= white)


def describe_scale(kind: str, num_pictures: int, highest: float) -> str:
    """A sentence where a set uses fewer bits than its files have room for, else nothing."""
    white = white_of_set(kind, highest)
    if kind == "F" or white >= BITS_16 or (kind == "I" and white == INTEGER_WHITES[0]):
        return ""
    return (
        f"{counted(num_pictures, 'picture')} with room for {16 if kind == 'I;16' else 32} bits a pixel; "
        f"{int(np.log2(white + 1))} bits are used (the highest level is {highest:,.0f}), and {white:,.0f} is taken for "
        "white."
    )


def describe_white(white_levels: WhiteLevels | None) -> str:
    """Which level became 255 in a model's deep grey pictures, for whoever gives it pixels; nothing where that is all
    that their files have room for."""
    usual = {"I;16": BITS_16, "F": FLOAT_WHITES[0]}
    rooms = {"I;16": "16 bits", "I": "32 bits", "F": "floating-point levels"}
    unusual = {kind: white for kind, white in (white_levels or {}).items() if white != usual.get(kind)}
    parts = [f"the level {white:,.0f} of grey pictures with {rooms.get(kind, kind)}" for kind, white in unusual.items()]
    return f"255 stands for {' and '.join(parts)}" if parts else ""


def scaled_to_8_bits(image: Image.Image, *, white: float) -> Image.Image:
    """A deep grey picture in mode L; levels above `white` are white."""
    levels = np.asarray(image)
    grey = np.empty(levels.shape, np.uint8)
    for row, row_of_levels in zip(grey, levels, strict=True):  # at once, a large picture would take 30 bytes a pixel
        row[:] = np.minimum(np.rint(row_of_levels.astype(np.float64) * (255 / white)), 255)
    if "transparency" in image.info:  # a 16-bit PNG may name one level that is transparent
        grey[levels == image.info["transparency"]] = 255
    return Image.fromarray(grey)
