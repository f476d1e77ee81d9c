"""The pictures that a data check leaves: a gallery for each kind of suspects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from thumbnet.data.dataset import Dataset
from thumbnet.data.duplicates import describe_likeness
from thumbnet.data.originals import larger_images
from thumbnet.data_check.folds import OutOfFold
from thumbnet.data_check.suspects import (
    TRAIN,
    Duplicate,
    Place,
    Suspect,
    SuspectKind,
    class_name,
    is_exact,
    source_index,
)
from thumbnet.views.figure import png_bytes
from thumbnet.views.suspects import IMAGE_PX, draw_suspects

Group: TypeAlias = UInt8[Tensor, "g c h w"]

MAX_PICTURED = 80  # of each kind
PARTS_SHOWN = 2  # of a path: the file's name and its folder
TITLES: Mapping[SuspectKind, str] = {
    "label": "Labels that are probably wrong",
    "exact-duplicate": "Exact duplicates",
    "duplicate": "Images that are nearly alike",
    "outlier": "Images like no other",
    "dark": "Dark images",
    "bright": "Bright images",
    "flat": "Flat images",
}


def draw_pictures(
    dataset: Dataset, suspects: Sequence[Suspect], duplicates: Sequence[Duplicate], out_of_fold: OutOfFold
) -> dict[str, bytes]:
    """PNG files by name, one `<kind>.png` for each kind that was found: its worst images, or pairs of duplicates."""
    pictures = {}
    for kind, title in TITLES.items():
        if kind in ("exact-duplicate", "duplicate"):
            pairs = [pair for pair in duplicates if is_exact(dataset, pair) == (kind == "exact-duplicate")]
            num_found = len(pairs)
            groups, captions = _picture_duplicates(dataset, pairs[:MAX_PICTURED])
        else:
            some = [suspect for suspect in suspects if suspect.kind == kind]
            num_found = len(some)
            groups, captions = _picture_suspects(dataset, some[:MAX_PICTURED], out_of_fold.probabilities)
        if groups:
            shown = "" if num_found == len(groups) else f", the first {len(groups)} shown"
            figure = draw_suspects(groups, captions, title=f"{title}: {num_found:,}{shown}")
            pictures[f"{kind}.png"] = png_bytes(figure)
    return pictures


def _picture_suspects(
    dataset: Dataset, suspects: Sequence[Suspect], probabilities: Float[np.ndarray, "n k"]
) -> tuple[list[Group], list[str]]:
    """The images, and captions with name, label and, where another is suggested, that with its probability."""
    train = dataset.train
    index_of = {source_index(train, index): index for index in range(len(train))}
    captions = []
    indices = [index_of[suspect.index] for suspect in suspects]
    groups: list[Group] = list(larger_images(dataset, train, indices, side=IMAGE_PX).unsqueeze(1))
    for index, suspect in zip(indices, suspects, strict=True):
        lines = [f"{_name(dataset, Place(TRAIN, index))}: {suspect.label}"]
        if suspect.suggested:
            probability = probabilities[index, dataset.class_names.index(suspect.suggested)]
            lines.append(f"rather {suspect.suggested} ({probability:.0%})")
        captions.append("\n".join(lines))
    return groups, captions


def _picture_duplicates(dataset: Dataset, duplicates: Sequence[Duplicate]) -> tuple[list[Group], list[str]]:
    """Both images of each pair, and captions with where they are and what they are labelled as."""
    groups: list[Group] = []
    captions = []
    images = _images_at(dataset, [place for pair in duplicates for place in (pair.first, pair.second)])
    for pair in duplicates:
        places = (pair.first, pair.second)
        groups.append(torch.stack([images[place] for place in places]))
        likeness = describe_likeness(pair.likeness)
        lines = [*(_describe(dataset, place) for place in places), f"{likeness}{', flipped' if pair.flipped else ''}"]
        captions.append("\n".join(lines))
    return groups, captions


def _images_at(dataset: Dataset, places: Sequence[Place]) -> dict[Place, UInt8[Tensor, "c h w"]]:
    """The images at these places, as large as they are shown."""
    images: dict[Place, UInt8[Tensor, "c h w"]] = {}
    for name in {place.split for place in places}:
        of_split = [place for place in places if place.split == name]
        larger = larger_images(dataset, dataset.split(name), [place.index for place in of_split], side=IMAGE_PX)
        images.update(zip(of_split, larger, strict=True))
    return images


def _describe(dataset: Dataset, place: Place) -> str:
    return f"{place.split} {_name(dataset, place)}: {class_name(dataset, place)}"


def _name(dataset: Dataset, place: Place) -> str:
    """The end of the image's path, or its index where it has none."""
    split = dataset.split(place.split)
    if split.paths is None:
        return str(source_index(split, place.index))
    return "/".join(split.paths[place.index].split("/")[-PARTS_SHOWN:])
