"""Leaks between splits: images of training that are also, or nearly, among those that figures are measured on.

Photographs taken in a row, crops of one picture, files copied and saved again stand in training and test sets of
people's own, and make accuracy too good. Before a training on a folder, an .npz file or arrays, the images of training
are compared with those held out for validation and test, and those of validation with test's, as alike.py compares
images.
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass
from itertools import accumulate

from thumbnet.data.alike import find_alike
from thumbnet.data.class_counts import label_text
from thumbnet.data.dataset import SPLIT_NAMES, Dataset, Split
from thumbnet.data.exclusion import SUSPECT_COLUMNS
from thumbnet.specs.checks import shown
from thumbnet.specs.csv_table import read_rows
from thumbnet.specs.json_text import damaged

KIND = "leak"
PLACE = re.compile(r"train|val|test|fold \d+")
LEAK_TYPES = [str, int, str, int, float, bool]
SEARCH_VERSION = 1  # raised with whatever changes what is found, here, in alike.py or in duplicates.py
VAL_COLUMNS = ("val_index", "val_path", "val_label", "test_index", "test_path", "test_label", "likeness", "flipped")
LEAK_COLUMNS = (*SUSPECT_COLUMNS, "split", "other_split", "other_index", "other_path", "likeness", "flipped")


@dataclass(frozen=True)
class Leak:
    """An image of train or val, and one that is held out from it which shows the same: `likeness` 1 if they are equal
    pixel by pixel, else the correlation of their detail; `flipped` if one is like the flipped other. Indices count the
    images of the split."""

    split: str
    index: int
    held_split: str
    held_index: int
    likeness: float
    flipped: bool = False


@dataclass(frozen=True)
class Leaks:
    """What was found: every image that leaks once at least, with the one that is most like it, the most alike first;
    and how many of the images held out were searched for."""

    found: tuple[Leak, ...] = ()
    num_held_out: int = 0
    num_searched: int = 0

    @property
    def num_images(self) -> int:
        """How many images of train and val are also held out, or nearly."""
        return len({(leak.split, leak.index) for leak in self.found})

    @property
    def num_exact(self) -> int:
        """How many of them pixel by pixel."""
        return len({(leak.split, leak.index) for leak in self.found if leak.likeness == 1})

    def held_out_of(self, split: str) -> frozenset[int]:
        """The images of a split that others know."""
        return frozenset(leak.held_index for leak in self.found if leak.held_split == split)


def find_leaks(dataset: Dataset) -> Leaks:
    """The leaks between the splits of a dataset; of images of a pack, as they were found before.

    More than MAX_PAIRS pairs are not compared: of the images held out, a sample is searched for then, always the same;
    equal images are found all the same.
    """
    kept, name = dataset.kept_results(), f"leaks-{SEARCH_VERSION}-{'flipped' if dataset.flip_keeps_labels else 'as-is'}"
    text = None if kept is None else kept.recall(name)
    known = None if text is None else _from_text(text)
    if known is not None and all(_is_within(leak, dataset) for leak in known.found):
        return known
    leaks = _search(dataset)
    if kept is not None:
        kept.keep(name, _to_text(leaks))
    return leaks


def _search(dataset: Dataset) -> Leaks:
    splits = {name: getattr(dataset, name) for name in SPLIT_NAMES}
    present: dict[str, Split] = {name: split for name, split in splits.items() if split is not None}
    starts = [0, *accumulate(len(split) for split in present.values())]

    def place(image: int) -> tuple[str, int]:
        number = bisect_right(starts, image) - 1
        return [*present][number], image - starts[number]

    alike = find_alike([split.images for split in present.values()], with_flips=dataset.flip_keeps_labels)
    found = [Leak(*place(pair.first), *place(pair.second), pair.likeness, pair.flipped) for pair in alike.pairs]
    return Leaks(
        in_order(found),
        num_held_out=sum(len(split) for name, split in present.items() if name != "train"),
        num_searched=alike.num_searched,
    )


def _to_text(leaks: Leaks) -> str:
    found = [astuple(leak) for leak in leaks.found]
    return json.dumps([found, leaks.num_held_out, leaks.num_searched])


def _from_text(text: str) -> Leaks | None:
    """The leaks of a text that was kept; None where it is none of this kind."""
    try:
        found, *numbers = json.loads(text)
        are_leaks = all([type(value) for value in leak] == LEAK_TYPES for leak in found)
        if not are_leaks or [type(number) for number in numbers] != [int, int]:
            return None
        return Leaks(tuple(Leak(*leak) for leak in found), *numbers)
    except (ValueError, TypeError, RecursionError):
        return None


def _is_within(leak: Leak, dataset: Dataset) -> bool:
    """Whether the dataset has both images."""
    num_images = {name: len(getattr(dataset, name) or ()) for name in SPLIT_NAMES}
    places = ((leak.split, leak.index), (leak.held_split, leak.held_index))
    return all(0 <= index < num_images.get(name, 0) for name, index in places)


def leaks_to_csv(leaks: Leaks, dataset: Dataset) -> str:
    """The text of leaks.csv, which `read_exclusions` reads: a line for each image that could be left out.

    Images of a validation split that the source defines itself cannot be left out: `val_leaks_to_csv` lists them.
    """
    rows = []
    for leak in leaks.found:
        split, held = dataset.split(leak.split), dataset.split(leak.held_split)
        if can_be_left_out(leak, dataset):
            names = leak.split, leak.held_split
            pair = split, leak.index, held, leak.held_index
            rows.append(row_of_leak(*pair, dataset.class_names, leak.likeness, leak.flipped, names=names))
    return table_of_leaks(rows)


def val_leaks_to_csv(leaks: Leaks, dataset: Dataset) -> str:
    """The text of leaks-val.csv: images of a validation split that the source defines itself, each with the test image
    that shows the same. Its columns are no such as `read_exclusions` takes, which would look for them in training."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(VAL_COLUMNS)
    for leak in leaks.found:
        if not can_be_left_out(leak, dataset):
            writer.writerow(
                [
                    *_cells(dataset.split(leak.split), leak.index, dataset.class_names),
                    *_cells(dataset.split(leak.held_split), leak.held_index, dataset.class_names),
                    f"{leak.likeness:.6f}",
                    str(leak.flipped).lower(),
                ]
            )
    return text.getvalue()


def _cells(split: Split, index: int, class_names: Sequence[str]) -> tuple[int, str, str]:
    """An image's index, its file, and its label."""
    return index, "" if split.paths is None else split.paths[index], label_text(split.labels[index], class_names)


def val_leaks_from_csv(text: str, *, name: str) -> Leaks:
    """The leaks that a leaks-val.csv lists; RunError, which names the file `name`, where it is none."""
    rows = read_rows(text, required=VAL_COLUMNS, name=name)
    return _leaks_of(
        [{**row, "split": "val", "other_split": "test"} for row in rows], ("val_index", "test_index"), name
    )


def can_be_left_out(leak: Leak, dataset: Dataset) -> bool:
    """Whether a file can list the image to be left out: it is one of the source's own training images."""
    return leak.split == "train" or dataset.split(leak.split).positions is not None


def leaks_from_csv(text: str, *, name: str) -> Leaks:
    """The leaks that a leaks.csv lists; RunError, which names the file `name`, where it is none."""
    return _leaks_of(read_rows(text, required=LEAK_COLUMNS, name=name), ("index", "other_index"), name)


def _leaks_of(rows: Iterable[Mapping[str, str]], indices: tuple[str, str], name: str) -> Leaks:
    """The leaks of a table's rows, which have the `indices` of both images in the columns of these names."""
    found = []
    for number, row in enumerate(rows, start=1):
        try:
            leak = Leak(
                row["split"],
                int(row[indices[0]]),
                row["other_split"],
                int(row[indices[1]]),
                float(row["likeness"]),
                row["flipped"] == "true",
            )
        except ValueError as error:
            raise damaged(name, error) from error
        are_places = all(PLACE.fullmatch(name) for name in (leak.split, leak.held_split))
        are_images = min(leak.index, leak.held_index) >= 0 and math.isfinite(leak.likeness)
        if not (are_places and are_images and row["flipped"] in ("true", "false")):
            raise damaged(name, f"row {number} is {shown(list(row.values()))}")
        found.append(leak)
    return Leaks(tuple(found))


def in_order(found: Iterable[Leak]) -> tuple[Leak, ...]:
    """The most alike first."""
    return tuple(
        sorted(found, key=lambda leak: (-leak.likeness, leak.split, leak.index, leak.held_split, leak.held_index))
    )


def row_of_leak(
    split: Split,
    index: int,
    held: Split,
    held_index: int,
    class_names: Sequence[str],
    likeness: float,
    flipped: bool,
    *,
    names: tuple[str, str],
) -> list[object]:
    """A line of leaks.csv, which begins with the image that could be left out; `names` are those of the two splits."""
    return [
        index if split.positions is None else int(split.positions[index]),
        "" if split.paths is None else split.paths[index],
        label_text(split.labels[index], class_names),
        label_text(held.labels[held_index], class_names),
        f"{likeness:.6f}",
        KIND,
        names[0],
        names[1],
        held_index,
        "" if held.paths is None else held.paths[held_index],
        f"{likeness:.6f}",
        str(flipped).lower(),
    ]


def table_of_leaks(rows: Sequence[Sequence[object]]) -> str:
    """The text of leaks.csv."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([LEAK_COLUMNS, *rows])
    return text.getvalue()
