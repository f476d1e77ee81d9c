"""Random images: how fast a network trains does not depend on what is in the pictures."""

from __future__ import annotations

import torch

from thumbnet.data.dataset import Dataset, Source, Split


def random_dataset(num_train: int, image_shape: tuple[int, int, int], num_classes: int) -> Dataset:
    """Random images of that shape, [C,H,W]: `num_train` to train on, one a class to test."""
    generator = torch.Generator().manual_seed(0)

    def split(num_images: int) -> Split:
        images = torch.randint(256, (num_images, *image_shape), generator=generator, dtype=torch.uint8)
        return Split(images, torch.arange(num_images) % num_classes)

    channels = image_shape[0]
    return Dataset(
        train=split(num_train),
        val=None,
        test=split(num_classes),
        class_names=tuple(f"class {index}" for index in range(num_classes)),
        mean=(0.5,) * channels,
        std=(0.25,) * channels,
        flip_keeps_labels=True,
        source=Source("random", "random images"),
    )
