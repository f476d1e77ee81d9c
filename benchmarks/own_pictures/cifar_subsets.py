"""CIFAR-10 as pictures: its first so many images of each class in a fixed order, and all test images."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from PIL import Image

from own_pictures.pictures import Drawn, file_of
from thumbnet.data.dataset import Split
from thumbnet.data.sources import load_dataset


def cifar(folder: str, each: int) -> Iterator[Drawn]:
    """`each` training images of each class as PNG; `folder` holds CIFAR-10's files."""
    dataset = load_dataset("cifar10", data_dir=folder, allow_unverified=True, val_fraction=0.0)
    yield from _drawn(dataset.train, chosen(dataset.train.labels.numpy(), each), dataset.class_names, "train")
    yield from _drawn(dataset.test, range(len(dataset.test)), dataset.class_names, "test")


def chosen(labels: np.ndarray, each: int) -> list[int]:
    """`each` positions of every label, in ascending order; more take in all that fewer do."""
    order = np.random.default_rng(4).permutation(len(labels))
    return sorted(int(index) for label in np.unique(labels) for index in order[labels[order] == label][:each])


def _drawn(split: Split, indices: list[int] | range, names: tuple[str, ...], split_name: str) -> Iterator[Drawn]:
    for index in indices:
        pixels = split.images[index].permute(1, 2, 0).contiguous().numpy()
        content = file_of(Image.fromarray(pixels), compress_level=1)
        yield Drawn(names[int(split.labels[index])], f"{split_name}-{index:05}.png", content, split=split_name)
