"""The sizes that a folder's pictures have, and the size that they are brought to where `image_size` is "auto".

The rule: square; of SIZES the largest that is at most 1.15 times the shorter side of the median picture (the longer
one of letterboxed pictures, which is what they are reduced by), at most 96, and leaves three quarters of the memory
free; at least 32. Larger images show more and take longer. Where a model takes none of these, it is the nearest side
that the model does take.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from thumbnet.data.images import read_header
from thumbnet.data.memory import DATA_SHARE, memory_limit_bytes
from thumbnet.errors import ImageError
from thumbnet.specs.data import IMAGE_SIZE
from thumbnet.specs.sizes import ANY_SIDE, Fit, SideLimits, Sides, filling_side, written

SIZES = (32, 48, 64, 96, 128, 160, 224)  # pixels
LARGEST = 96  # pixels: solar cells were told apart better at 96 than at 32 and at 160
ENLARGED = 1.15  # pictures may be enlarged by so much
MEMORY_SHARE = 0.25
NUM_HEADERS = 512  # that a median is of
CUT_OFF = 0.25  # of the median picture: a crop that leaves out more of it is worth a sentence


def median_sides(files: Sequence[Path]) -> Sides:
    """The median height and width of some of the files, evenly spread; IMAGE_SIZE where none can be read."""
    chosen = np.unique(np.linspace(0, len(files) - 1, min(len(files), NUM_HEADERS)).round().astype(int))
    found = []
    for index in chosen.tolist():
        with suppress(ImageError, OSError):
            if files[index].is_file():  # a pipe would keep us waiting
                header = read_header(files[index])
                found.append((header.height, header.width))
    height, width = np.median(found or [(IMAGE_SIZE, IMAGE_SIZE)], axis=0).round().astype(int).tolist()
    return height, width


def auto_side(median: Sides, num_pictures: int, limits: SideLimits = ANY_SIDE, *, fit: Fit = "crop") -> int:
    """The side in pixels by the rule above, given the median height and width.

    Args:
        limits: the least and the largest side that the model takes; None: it has no largest.
    """
    least, largest = limits
    room = MEMORY_SHARE / DATA_SHARE * memory_limit_bytes()
    most = min(LARGEST, ENLARGED * filling_side(median, fit))
    fitting = [side for side in SIZES if side <= most and 3 * num_pictures * side**2 <= room]
    fitting = fitting or [SIZES[0]]
    taken = [side for side in SIZES if side >= least and (largest is None or side <= largest)]
    if both := set(fitting) & set(taken):
        return max(both)
    if taken:
        return taken[0]  # all are larger than the rule would have them
    return least if largest is None or fitting[-1] < least else largest


def describe_choice(median: Sides, side: int, fit: Fit, *, usual: int | None = None) -> str:
    """What was chosen, and what it leaves out of the pictures. `usual`: what it would be for a model without limits."""
    why = "" if usual in (None, side) else f", since the model takes no {usual}x{usual}"
    sentence = f'The pictures have {written(median)} (median): image_size = "auto" takes {side}x{side}{why}.'
    return f"{sentence} {cut_off}" if (cut_off := describe_cut(median, side, fit)) else sentence


def describe_cut(median: Sides, side: int, fit: Fit) -> str:
    """What images of `side` pixels a side leave out of pictures with this median height and width, and how all of them
    is shown; empty where that is little."""
    shorter, longer = sorted(median)
    if fit != "crop" or shorter >= (1 - CUT_OFF) * longer:
        return ""
    height, width = (round(side * each / shorter / 16) * 16 for each in median)
    return (
        f"The centre square leaves out {1 - shorter / longer:.0%} of the median picture: "
        f"--set image_size=[{height},{width}] or --set fit=letterbox shows all of it."
    )
