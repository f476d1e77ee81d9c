"""What a model is trained on: batches augmented, resized and normalised; and what it is shown before its first step."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn import functional as F

from thumbnet.augment import Augmentation, Draws, augment, create_policy, policy_flips
from thumbnet.data.batches import normalise
from thumbnet.data.dataset import Dataset
from thumbnet.models.blocks import LearnsFromImages

NUM_SAMPLE_IMAGES = 2_000  # that a model which learns from images before its first step is shown


def default_policy(name: str, dataset: Dataset, *, may_flip: bool = True) -> tuple[Augmentation, ...]:
    """The policy called `name`, mirroring if it does so by itself, the dataset's labels allow it and it may."""
    flips = may_flip and policy_flips(name) and dataset.mirror_keeps_labels
    return create_policy(name, flip=flips, mean=dataset.mean)


def make_batch(
    images: UInt8[Tensor, "n c h w"],
    augmentations: Sequence[Augmentation],
    generator: torch.Generator,
    *,
    mean: Sequence[float],
    std: Sequence[float],
    sides: tuple[int, int] | None = None,
    drawn: list[Draws] | None = None,
) -> Float[Tensor, "n c h2 w2"]:
    """Images as a model is trained on them: augmented, resized to `sides` (height and width) if given, normalised.

    `drawn` is as in `augment`.
    """
    pixels = augment(images, augmentations, generator, drawn=drawn)
    if sides is not None and tuple(pixels.shape[2:]) != sides:
        pixels = resize(pixels, sides)
    return normalise(pixels, mean, std)


def resize(pixels: UInt8[Tensor, "n c h w"], sides: tuple[int, int]) -> UInt8[Tensor, "n c h2 w2"]:
    """Images of another height and width, by bilinear interpolation with antialiasing."""
    pixels = pixels.contiguous(memory_format=torch.channels_last)  # almost twice as fast
    if pixels.device.type == "cpu":
        return F.interpolate(pixels, size=sides, mode="bilinear", antialias=True)
    resized = F.interpolate(pixels.float(), size=sides, mode="bilinear", antialias=True)  # GPUs resize no integers
    return resized.round().clamp(0, 255).to(torch.uint8)


def show_images(model: nn.Module, dataset: Dataset, *, seed: int) -> None:
    """Show some normalised training images, drawn from the seed, to a model that learns from them before it trains."""
    if isinstance(model, LearnsFromImages):
        chosen = torch.randperm(len(dataset.train), generator=torch.Generator().manual_seed(seed))[:NUM_SAMPLE_IMAGES]
        images = dataset.train.images[chosen].to(next(model.parameters()).device)
        model.learn_from_images(normalise(images, dataset.mean, dataset.std))
