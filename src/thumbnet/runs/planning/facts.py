"""What a plan knows of the data before it is read, and after: numbers and sizes; of the test images nothing else."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch

from thumbnet.config import TrainConfig
from thumbnet.data.class_counts import class_sizes
from thumbnet.data.dataset import Dataset
from thumbnet.data.exclusion import num_listed
from thumbnet.data.faults import FolderFaults
from thumbnet.data.folder_tree import FolderTree
from thumbnet.data.hold_out import TEST_FRACTION
from thumbnet.data.images import read_image_array
from thumbnet.data.labels_file import labels_from, read_labelled
from thumbnet.data.originals import picture_sides
from thumbnet.data.packs.entries import cache_entries
from thumbnet.data.picture_request import PROGRESS_AFTER_S
from thumbnet.data.pictures import progress_line
from thumbnet.data.sizes import median_sides
from thumbnet.data.source_registry import read_source
from thumbnet.data.val_rule import MAX_FRACTION, MIN_FRACTION, MIN_IMAGES
from thumbnet.errors import DataError, ImageError
from thumbnet.runs.planning.ladder import DataFacts
from thumbnet.specs.data import DataSpec, ReadOptions, ValFraction
from thumbnet.specs.processors import num_processors
from thumbnet.specs.sizes import Fit, Sides

NUM_DECODED, TIMED_AT_ONCE = 64, 16  # that are read to know how long it takes
DECODED_SIDE = 96  # pixels
KEPT_IMAGE_S = 0.05e-3  # to find a picture unchanged and its pixels in the cache


@dataclass(frozen=True)
class Look:
    """A folder as it is before it is read, with the seconds that decoding all of its `num_files` pictures will take,
    and the heights and widths in which the cache has as many decoded already."""

    facts: DataFacts
    reading_s: float
    num_files: int
    kept_sides: frozenset[Sides] = frozenset()

    def reading_s_at(self, sides: Sides) -> float:
        """Seconds until its pictures are there in this size."""
        return min(self.reading_s, KEPT_IMAGE_S * self.num_files) if sides in self.kept_sides else self.reading_s


def look_at_folder(config: TrainConfig) -> Look:
    """The numbers of pictures, the median size and the time of reading, by some files spread over the folder.

    Raises:
        DataError: it is no folder of classes; where nothing is left to plan for, with all that is wrong.
    """
    path = DataSpec(config.data).path
    faults = FolderFaults()

    def note(folder: Path, error: DataError) -> None:
        faults.add(error, place=folder)  # reading tells of it, with whatever else is wrong

    with progress_line("listing files", show=True, after_s=PROGRESS_AFTER_S) as count:
        tree = FolderTree(on_unlistable=note, on_foreign_name=note, on_listed=count)
        layout = read_labelled(tree, path, faults, labels=labels_from(path, config.labels))
    files = [item.file for item in layout.files if item.file.is_file()]  # a pipe would keep us waiting
    labels = torch.tensor([label for item in layout.files if item.split == "train" for label in item.labels])
    if not files or len(labels.unique()) < 2:
        options = ReadOptions(
            skip_unreadable=config.skip_unreadable,
            labels=config.labels,
            division=config.division,
            val_fraction=config.val_fraction,
        )
        read_source(DataSpec(config.data), options)  # which raises it
        raise DataError(f"the folder {path} changed while it was read", hint="try again")
    counts = {name: sum(item.split == name for item in layout.files) for name in ("train", "val", "test")}
    _divide(counts, config)
    image_s, num_channels = _decoding(_spread(files, NUM_DECODED))
    facts = DataFacts(
        num_train=counts["train"],
        num_val=counts["val"],
        num_test=counts["test"],
        class_counts=tuple(torch.bincount(labels, minlength=len(layout.class_names)).tolist()),
        num_channels=num_channels,
        sides=median_sides(files),
        is_resized=True,
        fit=config.fit,
        has_several_labels=layout.has_several_labels,
    )
    return Look(facts, image_s * len(files), len(files), _kept_sides(path, len(files), config.fit))


def _kept_sides(folder: Path, num_files: int, fit: Fit) -> frozenset[Sides]:
    """The sizes in which the cache has as many pictures of this folder: what has changed since is not looked for."""
    with suppress(DataError):
        _, entries = cache_entries()
        return frozenset(
            entry.image_shape[1:]
            for entry in entries
            if entry.image_shape is not None
            and entry.folder is not None
            and Path(entry.folder).resolve() == folder.resolve()
            and (entry.num_images, entry.fit) == (num_files, fit)
        )
    return frozenset()


def facts_of(dataset: Dataset) -> DataFacts:
    """The facts of what was read; of pictures, the sides that they had before they were resized."""
    _, height, width = dataset.image_shape
    pictures = picture_sides(dataset)
    return DataFacts(
        num_train=len(dataset.train),
        num_val=0 if dataset.val is None else len(dataset.val),
        num_test=len(dataset.test),
        class_counts=tuple(class_sizes(dataset.train.labels, dataset.num_classes)),
        num_channels=dataset.num_channels,
        sides=(height, width) if pictures is None else (pictures.height, pictures.width),
        is_resized=pictures is not None,
        has_several_labels=dataset.has_several_labels,
        fit=dataset.fit,
    )


def _divide(counts: dict[str, int], config: TrainConfig) -> None:
    """Make of a folder's numbers of images those that the config trains on and scores, nearly."""
    folds = config.division.folds
    if folds is not None:
        counts["train"] += counts["val"]  # the source's own test images take no part
        counts["test"] = counts["val"] = 0
    if not counts["test"]:
        counts["test"] = round((1 / folds if folds else TEST_FRACTION) * counts["train"])
        counts["train"] -= counts["test"]
    if not counts["val"]:
        counts["val"] = round(_val_fraction(config.val_fraction, counts["train"]) * counts["train"])
        counts["train"] -= counts["val"]
    if config.exclude is not None:
        counts["train"] = max(1, counts["train"] - num_listed(config.exclude))
    if config.num_train is not None:
        counts["train"] = min(counts["train"], config.num_train)


def _val_fraction(val_fraction: ValFraction, num_images: int) -> float:
    """What is held out of so many images, as far as it can be known without their classes: see data/val_rule.py."""
    if not isinstance(val_fraction, str):
        return val_fraction
    return max(MIN_FRACTION, min(MAX_FRACTION, MIN_IMAGES / num_images))


def _spread(files: Sequence[Path], count: int) -> list[Path]:
    """So many of the files, at equal distances."""
    step = max(1.0, len(files) / count)
    return [files[int(index * step)] for index in range(min(count, len(files)))]


def _decoding(files: Sequence[Path]) -> tuple[float, int]:
    """Seconds a file, all threads at work, and the number of channels.

    Those of the first file do not count: Pillow then loads its formats, which is done once. The median over some files
    each, so that one that stood still does not count for the whole folder.
    """

    def channels(file: Path) -> int:
        try:
            return len(read_image_array(file, image_size=DECODED_SIDE))
        except (ImageError, OSError):
            return 1

    channels(files[0])
    num_channels, taken_s = 0, []
    with ThreadPoolExecutor(max_workers=num_processors()) as pool:
        for start in range(0, len(files), TIMED_AT_ONCE):
            some = files[start : start + TIMED_AT_ONCE]
            begin_s = time.perf_counter()
            num_channels = max(num_channels, *pool.map(channels, some))
            taken_s.append((time.perf_counter() - begin_s) / len(some))
    return statistics.median(taken_s), num_channels
