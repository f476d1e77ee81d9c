"""A part of the training images, for a quick trial or to see what more images are worth: class by class, the same every
time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from thumbnet.data.multi_label_splits import divide_labels
from thumbnet.errors import ConfigError, DataError


def draw_subset(
    labels: Int64[Tensor, " n"] | UInt8[Tensor, "n k"],
    positions: Int64[Tensor, " train"],
    *,
    num_train: int,
    seed: int,
    class_names: Sequence[str],
) -> Int64[Tensor, " m"]:
    """`num_train` of the training images, of every class its share: its images times the same fraction, rounded.

    At least one image of each class is among them. The draw is that of `hold_out`: it depends on the labels and the
    seed alone. Where an image may have several labels, the number is about `num_train`.

    Args:
        labels: of all images that the training images are some of.
        positions: of the training images, ascending; so are those that are given back.
        class_names: for the error only.

    Raises:
        ConfigError: there are fewer training images than that; DataError: fewer than one of each class.
    """
    if num_train > len(positions):
        raise ConfigError(
            f"num_train is {num_train:,}, but there are {len(positions):,} training images",
            hint="give fewer, or leave num_train out",
        )
    if labels.ndim == 2:
        share = num_train / len(positions)
        if share == 1:
            return positions
        part = divide_labels(
            labels[positions], None, (1 - share, share), seed=seed, class_names=class_names, leftover=0
        )
        return positions[part == 1]
    classes = labels[positions].numpy()
    present, counts = np.unique(classes, return_counts=True)
    if num_train < len(present):
        raise DataError(
            f"num_train is {num_train} for {len(present)} classes, as {class_names[int(present[-1])]!r}",
            hint="give at least one image of each class",
        )
    ranks = np.random.PCG64(seed).random_raw(len(labels))[positions.numpy()]
    chosen = [
        np.flatnonzero(classes == label)[np.argsort(ranks[classes == label], kind="stable")[:share]]
        for label, share in zip(present, _shares(counts, num_train), strict=True)
    ]
    return positions[torch.from_numpy(np.sort(np.concatenate(chosen)))]


def _shares(counts: np.ndarray, total: int) -> list[int]:
    """How many of each class's images make up the total: at least one, at most all, the rest by largest remainder."""
    exact = counts * (total / counts.sum())
    shares = np.maximum(1, np.floor(exact)).astype(int)
    while shares.sum() < total:
        lacking = np.where(shares < counts, exact - shares, -np.inf)
        shares[lacking.argmax()] += 1
    while shares.sum() > total:  # where small classes were given more than their share
        spare = np.where(shares > 1, shares - exact, -np.inf)
        shares[spare.argmax()] -= 1
    return [int(share) for share in shares]
