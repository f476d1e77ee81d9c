"""Alternating flip: every image flipped in every second epoch, so that two epochs show each image both ways."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Int64
from torch import Tensor


class AlternatingFlip:
    """Which images are flipped in which epoch: half of them, drawn from the seed, in the odd ones, the others in the
    even ones.

    Source: Jordan, "94% on CIFAR-10 in 3.29 seconds on a single GPU" (2024, arXiv:2404.00498), section 3.6.
    """

    def __init__(self, num_images: int, *, seed: int) -> None:
        order = torch.randperm(num_images, generator=torch.Generator().manual_seed(seed))
        self.begins_flipped = order < num_images / 2

    def flipped(self, chosen: Int64[Tensor, " b"], epoch: int) -> Bool[Tensor, " b"]:
        """Which of the training images with the indices `chosen` are flipped in this epoch, counted from 1."""
        selected: Tensor = self.begins_flipped[chosen.cpu()]
        return selected if epoch % 2 else ~selected
