"""Suspicious training images, each with its reason, from the results of the searches.

Suspects are training images only, so that `train --exclude` can leave them out. Of two duplicates the suspect is the
later one, or the one in the training split if the other is in val or test: so one of the two stays, and no copy of a
test image is trained on.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass
from typing import Literal

import torch

from thumbnet.data.dataset import SPLIT_NAMES, Dataset, Split
from thumbnet.data.duplicates import FINE_SHARE, find_duplicates
from thumbnet.data.exclusion import SUSPECT_COLUMNS
from thumbnet.data_check.exposure import find_exposure_issues
from thumbnet.data_check.folds import OutOfFold
from thumbnet.data_check.label_issues import LabelIssues
from thumbnet.data_check.outliers import find_outliers

SuspectKind = Literal["label", "exact-duplicate", "duplicate", "outlier", "dark", "bright", "flat"]
ALIKE = 0.999  # likeness from which two images may be equal
TRAIN = "train"


@dataclass(frozen=True)
class Suspect:
    """A line of suspects.csv.

    `index` counts the source's own training images, before any are held out; `label` is its class, `suggested` the one
    that is more probable, or that its copy has (empty for other kinds). `score` is at most 1, the higher the more
    suspect, and comparable within a kind only: 1 less the probability of the label; the likeness of a duplicate; how
    dark, bright or flat; 1 less the distance to neighbours that is usual in the class over that of an outlier.
    """

    index: int
    path: str
    label: str
    suggested: str
    score: float
    kind: SuspectKind


@dataclass(frozen=True)
class Place:
    """An image by its split and the index in it, of 0 to the split's length."""

    split: str
    index: int


@dataclass(frozen=True)
class Duplicate:
    """Two images that are equal (`likeness` 1) or nearly so, `flipped` if one is like the flipped other; if
    one of them is in train and the other is not, the one in train comes second."""

    first: Place
    second: Place
    likeness: float
    flipped: bool


def find_duplicates_across(dataset: Dataset, *, share: float = FINE_SHARE) -> tuple[Duplicate, ...]:
    """The duplicates inside and across all splits, the most alike first; `share` as in `find_duplicates`."""
    splits = _splits(dataset)  # train last: so that of equal images, the one that others are compared with is held out
    places = [Place(name, index) for name, split in splits.items() for index in range(len(split))]
    pairs = find_duplicates(
        torch.cat([split.images for split in splits.values()]), with_flips=dataset.flip_keeps_labels, share=share
    )
    return tuple(Duplicate(places[pair.first], places[pair.second], pair.likeness, pair.flipped) for pair in pairs)


def collect_suspects(
    dataset: Dataset, duplicates: Sequence[Duplicate], out_of_fold: OutOfFold, issues: LabelIssues
) -> tuple[Suspect, ...]:
    """All suspects, kind by kind, the worst of each first; an image may be suspected of several things."""
    return tuple(
        Suspect(
            index=source_index(dataset.train, index),
            path="" if dataset.train.paths is None else dataset.train.paths[index],
            label=class_name(dataset, Place(TRAIN, index)),
            suggested=suggested,
            score=score,
            kind=kind,
        )
        for index, suggested, score, kind in _findings(dataset, duplicates, out_of_fold, issues)
    )


def is_exact(dataset: Dataset, duplicate: Duplicate) -> bool:
    """Whether the two images are equal pixel by pixel, as they were read; without a flip."""
    if duplicate.flipped or duplicate.likeness < ALIKE:
        return False
    first, second = (dataset.split(place.split).images[place.index] for place in (duplicate.first, duplicate.second))
    return torch.equal(first, second)


def source_index(split: Split, index: int) -> int:
    """Where the split's image is among those of the source that it was taken from."""
    return index if split.positions is None else int(split.positions[index])


def class_name(dataset: Dataset, place: Place) -> str:
    """The class that an image is labelled as."""
    return dataset.class_names[int(dataset.split(place.split).labels[place.index])]


def suspects_to_csv(suspects: Sequence[Suspect]) -> str:
    """The text of suspects.csv, which `read_exclusions` reads."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(SUSPECT_COLUMNS)
    for suspect in suspects:
        index, path, label, suggested, score, kind = astuple(suspect)
        writer.writerow([index, path, label, suggested, f"{score:.6f}", kind])
    return text.getvalue()


def _findings(
    dataset: Dataset, duplicates: Sequence[Duplicate], out_of_fold: OutOfFold, issues: LabelIssues
) -> Iterator[tuple[int, str, float, SuspectKind]]:
    """Index in the training split, suggested class, score and kind."""
    for index, label, score in zip(
        issues.indices.tolist(), issues.suggested.tolist(), issues.scores.tolist(), strict=True
    ):
        yield index, dataset.class_names[label], score, "label"
    seen = set()
    for duplicate in duplicates:
        index = duplicate.second.index
        if duplicate.second.split == TRAIN and index not in seen:
            seen.add(index)
            kind: SuspectKind = "exact-duplicate" if is_exact(dataset, duplicate) else "duplicate"
            yield index, class_name(dataset, duplicate.first), duplicate.likeness, kind
    for index in find_outliers(out_of_fold.relative_distances, dataset.train.labels.numpy()).tolist():
        yield index, "", 1 - 1 / float(out_of_fold.relative_distances[index]), "outlier"
    for issue in find_exposure_issues(dataset.train.images, dataset.train.labels):
        yield issue.index, "", issue.score, issue.kind


def _splits(dataset: Dataset) -> dict[str, Split]:
    """Those that there are, train last."""
    return {name: dataset.split(name) for name in reversed(SPLIT_NAMES) if name != "val" or dataset.val is not None}
