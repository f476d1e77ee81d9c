"""A saliency map laid over its image: the image in grey shows through colours that say how salient a place is.

The colours are viridis (van der Walt and Smith, 2015): evenly spaced to the eye and told apart by colour-blind readers.
"""

from __future__ import annotations

import matplotlib
import numpy as np
from jaxtyping import Float, UInt8

COLOURS = "viridis"  # dark blue for nothing, yellow for the most
SHARE = 0.5  # of the colour in each pixel; the rest is the image
LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, by which Pillow turns colours to grey


def overlay_saliency(
    image: UInt8[np.ndarray, "h w 3"], saliency: Float[np.ndarray, "h w"]
) -> UInt8[np.ndarray, "h w 3"]:
    """Each pixel half its image's grey level, half the colour of its saliency, which is from 0 to 1."""
    grey = image @ np.array(LUMA)
    colour = 255 * matplotlib.colormaps[COLOURS](saliency)[..., :3]
    mixed: UInt8[np.ndarray, "h w 3"] = np.rint((1 - SHARE) * grey[..., None] + SHARE * colour).astype(np.uint8)
    return mixed


def colour_scale(num_pixels: int) -> UInt8[np.ndarray, "1 n 3"]:
    """From saliency 0 on the left to 1 on the right, over a middle grey."""
    grey = np.full((1, num_pixels, 3), 128, dtype=np.uint8)
    return overlay_saliency(grey, np.linspace(0, 1, num_pixels)[None])
