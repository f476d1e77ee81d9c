"""Pictures enlarged as a camera's picture would be, for models that shrink them inside."""

from __future__ import annotations

import numpy as np
from jaxtyping import UInt8
from PIL import Image


def repeated(pictures: UInt8[np.ndarray, "n h w c"], sides: tuple[int, int]) -> UInt8[np.ndarray, "n h2 w2 3"] | None:
    """Each pixel as a rectangle of equal pixels; None unless they fill the sides. Grey pictures become RGB."""
    factors = [large // small for large, small in zip(sides, pictures.shape[1:3], strict=True)]
    if tuple(factor * small for factor, small in zip(factors, pictures.shape[1:3], strict=True)) != sides:
        return None
    return _in_colour(pictures).repeat(factors[0], axis=1).repeat(factors[1], axis=2)


def smooth(pictures: UInt8[np.ndarray, "n h w c"], sides: tuple[int, int]) -> UInt8[np.ndarray, "n h2 w2 3"]:
    """By bilinear interpolation. Grey pictures become RGB."""
    size = (sides[1], sides[0])
    images = [Image.fromarray(picture).resize(size, Image.Resampling.BILINEAR) for picture in _in_colour(pictures)]
    return np.stack([np.asarray(image) for image in images])


def _in_colour(pictures: UInt8[np.ndarray, "n h w c"]) -> UInt8[np.ndarray, "n h w 3"]:
    return np.ascontiguousarray(np.broadcast_to(pictures, (*pictures.shape[:3], 3)))
