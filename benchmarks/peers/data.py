"""CIFAR-10's binary files as tensors, and batches of them, by PyTorch and NumPy alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

MEAN = torch.tensor([0.4914, 0.4822, 0.4465]).view(3, 1, 1)
STD = torch.tensor([0.2470, 0.2435, 0.2616]).view(3, 1, 1)


@dataclass(frozen=True)
class Images:
    """uint8 pixels [N,3,32,32] and labels [N]."""

    pixels: Tensor
    labels: Tensor


def read_images(folder: str, files: str = "data_batch_*.bin") -> Images:
    """The training images, or with "test_batch.bin" the test images."""
    paths = sorted(Path(folder).glob(f"**/{files}"))
    rows = torch.from_numpy(np.concatenate([np.fromfile(path, np.uint8) for path in paths]).reshape(-1, 3073))
    return Images(rows[:, 1:].reshape(-1, 3, 32, 32).contiguous(), rows[:, 0].long())


def normalise(pixels: Tensor) -> Tensor:
    """By the mean and deviation of the training images' channels."""
    return (pixels.float() / 255 - MEAN) / STD


def shuffled(num_images: int, batch_size: int) -> Iterator[tuple[int, Tensor]]:
    """Epoch after epoch in another order: the epoch's number from 0, and the indices of a batch.

    The rest that is less than a batch is left out.
    """
    if num_images < batch_size:
        raise ValueError(f"{num_images} images are less than a batch of {batch_size}")
    epoch = 0
    while True:
        order = torch.randperm(num_images)
        for begin in range(0, num_images - batch_size + 1, batch_size):
            yield epoch, order[begin : begin + batch_size]
        epoch += 1


def crop(padded: Tensor, side: int) -> Tensor:
    """From each image of a batch a square at a random place."""
    num_images = len(padded)
    top, left = (torch.randint(padded.shape[axis] - side + 1, (num_images, 1, 1)) for axis in (2, 3))
    rows, columns = top + torch.arange(side).view(1, side, 1), left + torch.arange(side).view(1, 1, side)
    return padded.permute(0, 2, 3, 1)[torch.arange(num_images).view(-1, 1, 1), rows, columns].permute(0, 3, 1, 2)


def flip(images: Tensor, chosen: Tensor) -> Tensor:
    """Left and right exchanged in those images of a batch that are `chosen`, a truth value each."""
    return torch.where(chosen.view(-1, 1, 1, 1), images.flip(-1), images)


def rotate_and_shift(images: Tensor, degrees: float, fraction: float) -> Tensor:
    """Each image of a batch by a random angle and way, up to so many degrees and that fraction of its side.

    Between pixels it is interpolated; pixels from outside are as the nearest one inside.
    """
    num_images = len(images)
    angle = (2 * torch.rand(num_images) - 1) * degrees * torch.pi / 180
    shift = (2 * torch.rand(num_images, 2) - 1) * 2 * fraction  # in half sides, as affine_grid counts
    cos, sin = angle.cos(), angle.sin()
    matrices = torch.stack([cos, -sin, shift[:, 0], sin, cos, shift[:, 1]], dim=1).view(num_images, 2, 3)
    grid = F.affine_grid(matrices, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, padding_mode="border", align_corners=False)
