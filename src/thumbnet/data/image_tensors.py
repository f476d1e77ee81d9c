"""Image files and Pillow images to tensors: what images.py makes of them, for PyTorch."""

from __future__ import annotations

from pathlib import Path

import torch
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from thumbnet.data.images import read_image_array
from thumbnet.data.standardise import image_to_array


def read_image_tensor(path: Path, *, image_size: int, num_channels: int | None = None) -> UInt8[Tensor, "c h w"]:
    """`read_image_array` as a tensor."""
    return torch.from_numpy(read_image_array(path, image_size=image_size, num_channels=num_channels))


def image_to_tensor(image: Image.Image, *, image_size: int, num_channels: int) -> UInt8[Tensor, "c h w"]:
    """`image_to_array` as a tensor."""
    return torch.from_numpy(image_to_array(image, image_size=image_size, num_channels=num_channels))
