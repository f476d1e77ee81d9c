"""What a source hands over, before images are held out for validation."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import reduce

import torch

from thumbnet.data.dataset import Source, Split, check_same_shape
from thumbnet.data.packs.kept import Origin
from thumbnet.specs.data import LabelsFrom, WhiteLevels
from thumbnet.specs.sizes import Fit


@dataclass(frozen=True)
class SourceSplits:
    """What a source hands over before images are held out for validation: the splits that it defines itself.

    `val` and `test` are None where the source has none of its own; `load_dataset` then takes them from `train`. With
    `owns_images`, nobody else needs the images, and `load_dataset` may move them within their memory. `fit` is as in
    `Dataset`; it is what the source was asked for.
    """

    train: Split
    val: Split | None
    test: Split | None
    class_names: tuple[str, ...]
    flip_keeps_labels: bool
    source: Source
    white_levels: WhiteLevels = field(default_factory=dict)
    owns_images: bool = False
    fit: Fit = "crop"
    labels_from: LabelsFrom = "folders"

    def joined(self) -> Split:
        """All images, those of train first, then those of val and test; DataError where their shapes differ."""
        check_same_shape(self.train, self.val, self.test)
        splits = [split for split in (self.train, self.val, self.test) if split is not None]
        origins = [split.origin for split in splits if split.origin is not None and split.positions is None]
        return Split(
            torch.cat([split.images for split in splits]),
            torch.cat([split.labels for split in splits]),
            None if self.train.paths is None else tuple(path for split in splits for path in split.paths or ()),
            groups=None
            if self.train.groups is None
            else torch.cat([split.groups for split in splits if split.groups is not None]),
            origin=reduce(Origin.followed_by, origins) if len(origins) == len(splits) else None,
        )
