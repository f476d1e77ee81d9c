"""What a dataset is: uint8 images and their labels, split in train, val and test, with their source.

Images are in memory, or, where they are more than it takes, on the disk (streamed.py).

Everything downstream takes these types; a source returns source_splits.py's, of which they are made.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from thumbnet.data.packs.kept import KeptResults, Origin
from thumbnet.data.statistics import images_at_once
from thumbnet.data.streamed import chosen_of, chunks_of
from thumbnet.errors import ConfigError, DataError
from thumbnet.specs.data import LabelsFrom, WhiteLevels
from thumbnet.specs.division import Division
from thumbnet.specs.sizes import Fit

SPLIT_NAMES = ("train", "val", "test")
DIGEST = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True)
class Split:
    """One part of a dataset: images uint8 [N,C,H,W] (0 to 255), labels int64 [N], file paths where there are any.

    Where an image may have several labels, or none, they are uint8 [N,K]: 1 for each class that it shows, else 0.

    `positions` are those of the images in the split that they were selected from; None where this is that split itself.
    Images of an equal number in `groups` belong together (see groups.py); None: every image for itself. `origin` is
    where the images that `positions` count are from, if that is a pack (see packs/kept.py).
    """

    images: UInt8[Tensor, "n c h w"]
    labels: Int64[Tensor, " n"] | UInt8[Tensor, "n k"]
    paths: tuple[str, ...] | None = None
    positions: Int64[Tensor, " n"] | None = None
    groups: Int64[Tensor, " n"] | None = None
    origin: Origin | None = None

    def __post_init__(self) -> None:
        images, labels = self.images, self.labels
        are_labels = (labels.dtype, labels.ndim) in ((torch.int64, 1), (torch.uint8, 2))
        if images.dtype != torch.uint8 or images.ndim != 4 or not are_labels:
            raise DataError(
                f"a split has images of {images.dtype} {list(images.shape)} and labels of {labels.dtype} "
                f"{list(labels.shape)}, expected uint8 [N,C,H,W] and int64 [N], or uint8 [N,K] of several labels",
                hint="thumbnet.dataset_from_arrays takes arrays and tensors in other forms, floats from 0 to 1 too",
            )
        for name, given in (("labels", labels), ("paths", self.paths), ("groups", self.groups)):
            if given is not None and len(given) != len(images):
                raise DataError(
                    f"a split has {len(images)} images and {len(given)} {name}", hint="give one of each for every image"
                )

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def has_several_labels(self) -> bool:
        """Whether an image may have several labels, or none."""
        return self.labels.ndim == 2

    def select(self, indices: Sequence[int] | Int64[Tensor, " m"]) -> Split:
        """The images at `indices`, in that order, as a new split."""
        chosen = [int(index) for index in indices]
        return Split(
            chosen_of(self.images, chosen),
            self.labels[chosen],
            None if self.paths is None else tuple(self.paths[index] for index in chosen),
            torch.tensor(chosen, dtype=torch.int64) if self.positions is None else self.positions[chosen],
            None if self.groups is None else self.groups[chosen],
            self.origin,
        )


@dataclass(frozen=True)
class Source:
    """Where a dataset came from.

    `name` is what `--data` takes, as `cifar10` or `folder:PATH`; `description` is a sentence for people; `verified` is
    True where every file matched its published checksum, False where it did not and the user allowed it, and None where
    nothing is published to check against; `note` says why another source stands in, if one does; `remarks` are
    sentences on what a user should know of the images; `skipped` are the files that were left out, being unreadable.
    `training_remarks` are those of the remarks that are on how a training began, and do not come of reading the images;
    `division_remarks` those on how the images were divided, which another division does not keep.
    """

    name: str
    description: str
    verified: bool | None = None
    note: str = ""
    remarks: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    training_remarks: tuple[str, ...] = ()
    division_remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Dataset:
    """Splits in memory with what a model must know of them; `val` is None where no image is held out for validation.

    `mean` and `std` are per channel, of pixels scaled to 0..1; `flip_keeps_labels` says whether a flipped image
    still belongs to its class; `split_seed`, `val_fraction` and `val_per_class` are those that the split was drawn
    with, as is `division`, and `num_excluded` is how many images were left out because a file lists them; `num_train`
    is how many training images were asked for, where these are not all. `white_levels` are those by which pictures with
    more than 8 bits were scaled, by kind (see white_levels.py). `fit` is how pictures of another shape were
    brought to this one. `labels_from` is where a folder's labels are.
    """

    train: Split
    val: Split | None
    test: Split
    class_names: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    flip_keeps_labels: bool
    source: Source
    split_seed: int = 0
    val_fraction: float = 0.0
    val_per_class: int = 0
    division: Division = Division()
    num_excluded: int = 0
    num_train: int | None = None
    white_levels: WhiteLevels = field(default_factory=dict)
    fit: Fit = "crop"
    labels_from: LabelsFrom = "folders"

    def __post_init__(self) -> None:
        check_same_shape(self.train, self.val, self.test)
        if len({split.labels.shape[1:] for split in (self.train, self.val, self.test) if split is not None}) > 1:
            raise DataError(
                "splits differ in their labels: one an image here, several there", hint="give labels of one form"
            )
        if len(self.mean) != self.num_channels or len(self.std) != self.num_channels:
            raise ConfigError(
                f"mean has {len(self.mean)} values and std {len(self.std)}, "
                f"but the images have {self.num_channels} channels",
                hint="give one value per channel, or none: they are then computed from the training split",
            )
        if min(self.std) <= 0:
            raise DataError(
                f"a channel's standard deviation is {min(self.std)}, expected above 0",
                hint="give 1 for a channel that has the same level in every image, or no mean and std at all",
            )

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of one image."""
        channels, height, width = self.train.images.shape[1:]
        return channels, height, width

    @property
    def num_channels(self) -> int:
        return self.image_shape[0]

    @property
    def num_classes(self) -> int:
        return len(self.class_names)

    @property
    def has_several_labels(self) -> bool:
        """Whether an image may have several labels, or none."""
        return self.train.has_several_labels

    def split(self, name: str) -> Split:
        """The split called `name` (train, val or test); ConfigError for another name or a split that is not there."""
        if name not in SPLIT_NAMES:
            raise ConfigError(f"unknown split {name!r}", hint=f"choose one of {', '.join(SPLIT_NAMES)}")
        split: Split | None = getattr(self, name)
        if split is None:
            raise ConfigError(
                "this dataset has no validation split (val_fraction is 0)",
                hint="set val_fraction above 0 in the recipe, or use another split",
            )
        return split

    def with_train(self, train: Split) -> Dataset:
        """The same dataset with other training images, for instance `dataset.train.select(range(5000))`."""
        return replace(self, train=train)

    def with_val_in_train(self) -> Dataset:
        """The same dataset with its validation images among the training images, after these, and none held out."""
        if self.val is None:
            return self
        return replace(self, train=_joined(self.train, self.val), val=None, val_fraction=0.0, val_per_class=0)

    def with_statistics(self, mean: Sequence[float], std: Sequence[float]) -> Dataset:
        """The same dataset normalised with other per-channel statistics, of pixels in 0..1."""
        return replace(self, mean=tuple(mean), std=tuple(std))

    def without_flips(self) -> Dataset:
        """The same dataset, with `flip_keeps_labels` False: as for letters, digits or signs."""
        return replace(self, flip_keeps_labels=False)

    def in_colour(self) -> Dataset:
        """The same dataset in three channels: those of a grey image are equal."""
        if self.num_channels == 3:
            return self
        return replace(
            self,
            train=_in_colour(self.train),
            val=None if self.val is None else _in_colour(self.val),
            test=_in_colour(self.test),
            mean=self.mean * 3,
            std=self.std * 3,
        )

    def with_note(self, note: str) -> Dataset:
        """The same dataset with another `source.note`."""
        return replace(self, source=replace(self.source, note=note))

    def with_remark(self, *remarks: str) -> Dataset:
        """The same dataset with these sentences in `source.training_remarks`, too; one that it has stays alone."""
        known = self.source.remarks
        new = tuple(remark for remark in remarks if remark not in known)
        of_training = (*self.source.training_remarks, *new)
        return replace(self, source=replace(self.source, remarks=(*known, *new), training_remarks=of_training))

    def checksum(self) -> str:
        """SHA-256 of the pixels and labels of all splits in order, as hexadecimal digits: equal data, equal text."""
        kept = self.kept_results()
        known = None if kept is None else kept.recall("checksum")
        if known is not None and DIGEST.fullmatch(known):
            return known
        digest = hashlib.sha256()
        for split in (self.train, self.val, self.test):
            if split is not None:
                digest.update(repr(tuple(split.images.shape)).encode())
                for chunk in chunks_of(split.images, images_at_once(split.images)):
                    digest.update(chunk.contiguous().numpy().data)
                digest.update(split.labels.contiguous().numpy().data)
        if kept is not None:
            kept.keep("checksum", digest.hexdigest())
        return digest.hexdigest()

    def kept_results(self) -> KeptResults | None:
        """Where results on these very images and labels are kept; None where they are of no pack, or were changed."""
        digest, folder = hashlib.sha256(), None
        for split in (self.train, self.val, self.test):
            if split is None:
                digest.update(b"none")
                continue
            if split.origin is None or split.images.is_inference() or split.images._version:
                return None
            folder = split.origin.folder
            digest.update(repr((split.origin.rows, tuple(split.images.shape))).encode())
            digest.update(b"all" if split.positions is None else split.positions.contiguous().numpy().data)
            digest.update(split.labels.contiguous().numpy().data)
        return None if folder is None else KeptResults(folder, digest.hexdigest())


def _joined(first: Split, second: Split) -> Split:
    """The images of both, which are no longer those of one split of the source."""
    paths = None if first.paths is None or second.paths is None else (*first.paths, *second.paths)
    groups = None if first.groups is None or second.groups is None else torch.cat([first.groups, second.groups])
    images, labels = torch.cat([first.images, second.images]), torch.cat([first.labels, second.labels])
    return Split(images, labels, paths, groups=groups)


def _in_colour(split: Split) -> Split:
    """A view in which the one channel stands three times."""
    return replace(split, images=split.images.expand(-1, 3, -1, -1))


def check_same_shape(train: Split, *others: Split | None) -> None:
    """DataError where the images of the splits have different shapes."""
    shape = tuple(train.images.shape[1:])
    for split in others:
        if split is not None and tuple(split.images.shape[1:]) != shape:
            raise DataError(
                f"splits differ in image shape: train has {shape}, another {tuple(split.images.shape[1:])}",
                hint="every image of a dataset has the same number of channels, height and width",
            )
