"""Images with several labels each: their labels as marks, and what is only for one label an image, refused."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import UInt8
from torch import Tensor

from thumbnet.data.dataset import Dataset
from thumbnet.errors import ConfigError


def label_marks(labels: Sequence[Sequence[int]], num_classes: int) -> UInt8[Tensor, "n k"]:
    """1 where an image has a label, of the numbers of each image's labels."""
    marks = torch.zeros(len(labels), num_classes, dtype=torch.uint8)
    for row, of_image in zip(marks, labels, strict=True):
        row[list(of_image)] = 1
    return marks


def refuse_several_labels(dataset: Dataset, what: str, *, hint: str) -> None:
    """ConfigError where an image may have several labels; `what` is what was given, as a sentence."""
    if dataset.has_several_labels:
        raise ConfigError(f"{what}, but an image may have several labels", hint=hint)
