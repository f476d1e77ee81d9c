"""Shuffling by blocks, so that images on a disk are read nearly in the order in which they lie there.

Blocks of images that lie side by side are put in random order; the images of many blocks, a window, are shuffled among
each other. A window has some 500 blocks: of a set that is sorted by class, each has its share of every class, nearly.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Int64
from torch import Tensor

BLOCK_BYTES = 2**18  # that a disk reads in little more time than it takes to find them
WINDOW_BYTES = 2**27


def block_shuffled_order(
    num_images: int, image_shape: Sequence[int], generator: torch.Generator
) -> Int64[Tensor, " n"]:
    """Each index once; the order depends on the generator, the number and the shape [C,H,W] of the images alone."""
    rows = max(1, BLOCK_BYTES // math.prod(image_shape))
    blocks = torch.arange(num_images).split(rows)
    drawn = torch.randperm(len(blocks), generator=generator).tolist()
    order = torch.cat([blocks[number] for number in drawn])
    start = 0
    for end in window_ends(num_images, image_shape):
        window = order[start:end]
        order[start:end] = window[torch.randperm(end - start, generator=generator)]
        start = end
    return order


def window_ends(num_images: int, image_shape: Sequence[int]) -> list[int]:
    """Where in an epoch's order each window ends: they are as large as each other, about WINDOW_BYTES."""
    number = max(1, round(num_images * math.prod(image_shape) / WINDOW_BYTES))
    return [(index + 1) * num_images // number for index in range(number)]
