"""What an image costs by the maps behind a network's stem, and the stem whose maps are finer."""

from __future__ import annotations

import math

from thumbnet.models.architecture import STEMS, parse_stem, stem_for
from thumbnet.runs.planning.constants import PIXELS_SHARE

FINER = 2  # times the side of the usual maps


def size_cost(
    model: str, sides: tuple[int, int], *, full: tuple[int, int] | None = None, stem: str | None = None
) -> float:
    """The training time of an image over that of one of 32 pixels: it goes with the area of the maps behind the stem,
    and a little with their own.

    Args:
        full: height and width of the full images, whose stem it is, where images that grow have only `sides` yet.
        stem: None or "": the one that the model gets for full images of this size.
    """
    height, width = sides
    usual, of_small = (stem_for(model, each)[0] for each in (full or sides, (32, 32)))
    maps = area_behind(stem or usual, sides) / area_behind(of_small, (32, 32))
    return (1 - PIXELS_SHARE) * maps + PIXELS_SHARE * height * width / 32**2


def area_behind(stem: str, sides: tuple[int, int]) -> int:
    """The pixels of the maps that a stem makes of images of such height and width, of which it sees all patches."""
    height, width = parse_stem(stem).map_sides(sides, padding=0)
    return height * width


def finer_stem(model: str, sides: tuple[int, int]) -> str | None:
    """Of the model's stems for smaller images, the one whose maps have most nearly twice the side that they usually
    have for images of this size; None where there are no finer ones."""
    usual, first = stem_for(model, sides)
    wanted = FINER**2 * area_behind(usual, sides)
    finer = [
        stem
        for _, stem, before in STEMS.get(model, ())
        if not (first or before) and area_behind(stem, sides) > area_behind(usual, sides)
    ]
    return min(finer, key=lambda stem: abs(math.log(area_behind(stem, sides) / wanted)), default=None)
