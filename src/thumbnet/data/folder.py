"""A dataset from a folder of image files, one sub-folder per class; folder_layout.py says which forms it may have, and
labels_file.py how a labels.csv names classes, or several labels a picture.

Images become uint8 [N,C,H,W] (see images.py), C 1 if every file is stored in greys, else 3.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import UInt8

from thumbnet.data.dataset import Source, Split
from thumbnet.data.division_faults import add_division_faults
from thumbnet.data.faults import FolderFaults
from thumbnet.data.folder_layout import FolderLayout, LabelledFile, no_images
from thumbnet.data.folder_tree import FolderTree, describe_outputs
from thumbnet.data.groups import check_groups
from thumbnet.data.labels_file import LABELS_FILE, labels_from, read_labelled
from thumbnet.data.picture_request import PROGRESS_AFTER_S, PictureRequest, Pictures, ReadPictures, names_within
from thumbnet.data.pictures import progress_line, read_pictures
from thumbnet.data.several_labels import label_marks
from thumbnet.data.sizes import auto_side, describe_choice, median_sides
from thumbnet.data.source_splits import SourceSplits
from thumbnet.data.unread import unread_splits
from thumbnet.errors import DataError
from thumbnet.specs.data import Labels, ValFraction, WhiteLevels
from thumbnet.specs.division import Division
from thumbnet.specs.sizes import ANY_SIDE, Fit, SideLimits, Sides, as_sides

UNREADABLE_HINT = "replace them or take them out; or train without them: --set skip_unreadable=true"


def read_folder(
    path: Path,
    *,
    image_size: int | Sides | Literal["auto"] = 32,
    fit: Fit = "crop",
    skip_unreadable: bool = False,
    white_levels: WhiteLevels | None = None,
    labels: Labels = "auto",
    division: Division = Division(),
    val_fraction: ValFraction | None = None,
    show_progress: bool = True,
    progress_after_s: float = PROGRESS_AFTER_S,
    read: ReadPictures = read_pictures,
    auto_sides: SideLimits = ANY_SIDE,
) -> SourceSplits:
    """The images under `path`, in an order that depends on their names only; `Split.paths` are relative to `path`.

    `flip_keeps_labels` is True: photographs and drawings of things are assumed. For letters, digits or signs, set
    `flip` in the recipe.

    Args:
        path: the folder of one of the forms of folder_layout.py.
        image_size: side in pixels, or height and width, or "auto": by the pictures' own sizes (see sizes.py).
        fit: as in `load_dataset`.
        skip_unreadable: leave out files that cannot be read as pictures; `source.skipped` names them.
        labels: "folders", "file" (labels.csv), or "auto": that file where it is there.
        division: how the images will be divided; it divides nothing here, but where groups do not fit, and what has too
            few pictures, is told with all other faults.
        val_fraction: likewise, the share that will be held out for validation; None: no image will be held out.
        white_levels, show_progress, progress_after_s: as in `PictureRequest`.
        read: what reads the pictures: into memory, or by way of the cache (see packs/cache.py).
        auto_sides: the least and the largest side that "auto" may choose.

    Raises:
        DatasetNotFoundError: there is no such folder.
        DataError: no class folders, only one, an empty one, splits whose classes differ, or a name that is not UTF-8;
            or a labels.csv or groups that do not fit; it names all faults.
        ImageError: that is all that is wrong: files cannot be read as images; it names them all.
        ConfigError: the images would not fit in memory, or are not in folders that name groups.
    """
    faults = FolderFaults()

    def note(folder: Path, error: DataError) -> None:
        faults.add(error, place=folder)

    with progress_line("listing files", show=show_progress, after_s=progress_after_s) as count:
        tree = FolderTree(on_unlistable=note, on_foreign_name=note, on_listed=count)
        origin = labels_from(path, labels)
        layout = read_labelled(tree, path, faults, labels=origin)
    if division.groups != "off":
        unread, is_anew = unread_splits(path, layout), division.folds is not None
        check_groups(unread, division.groups, path, faults, are_divided_anew=is_anew)
    files = [item.file for item in layout.files]
    choice: list[str] = []
    if image_size == "auto":
        median = median_sides(files)
        image_size = auto_side(median, len(files), auto_sides, fit=fit)
        choice = [describe_choice(median, image_size, fit, usual=auto_side(median, len(files), fit=fit))]
    pictures = read(
        PictureRequest(
            files=tuple(files),
            num_files=Counter(item.split for item in layout.files),
            sides=as_sides(image_size),
            relative_to=path,
            fit=fit,
            white_levels=white_levels,
            show_progress=show_progress,
            progress_after_s=progress_after_s,
        )
    )
    if pictures.unreadable and not skip_unreadable:
        faults.add_unreadable(list(pictures.unreadable.values()), len(layout.files), hint=UNREADABLE_HINT)
    kept = [item for item in layout.files if not skip_unreadable or item.file not in pictures.unreadable]
    _check_none_empty(kept, layout, faults)
    if faults.are_found and val_fraction is not None:  # else dividing them tells it
        add_division_faults(
            path,
            layout,
            kept,
            faults,
            groups=division.groups,
            folds=division.folds,
            holds_test="test" not in layout.folders,
            holds_val=val_fraction != 0 and "val" not in layout.folders,
        )
    faults.raise_all(path)
    images = pictures.take_images()
    splits = {name: _split(kept, images[name], name, path, layout) for name in layout.folders}
    num_images = sum(len(split) for split in splits.values())
    what = "labels, of which each may have several," if layout.has_several_labels else "classes"
    return SourceSplits(
        train=splits["train"],
        val=splits.get("val"),
        test=splits.get("test"),
        class_names=layout.class_names,
        flip_keeps_labels=True,
        source=Source(
            f"folder:{path.resolve()}",
            f"{num_images:,} images of {len(layout.class_names)} {what} in the folder {path}",
            remarks=(*_describe_left_out(tree, pictures, path), *choice, *pictures.remarks),
            skipped=tuple(file.relative_to(path).as_posix() for file in pictures.unreadable),
        ),
        white_levels=pictures.white_levels,
        owns_images=not pictures.are_mapped,
        labels_from=origin,
    )


def _check_none_empty(
    kept: Sequence[LabelledFile],
    layout: FolderLayout,
    faults: FolderFaults,
) -> None:
    """Add a fault for each class of which there are files, but none could be read."""
    present = {(item.split, label) for item in kept for label in item.labels}
    for split, label in dict.fromkeys((item.split, label) for item in layout.files for label in item.labels):
        if (split, label) not in present:
            name = layout.class_names[label]
            in_file = DataError(
                f"{LABELS_FILE}: no {split} picture with the label {name!r} can be read", hint="add some"
            )
            faults.add(in_file if layout.from_file else no_images(layout.folders[split] / name))
    for split in layout.folders if layout.from_file else ():
        if not any(item.split == split for item in kept) and not any(
            it.labels for it in layout.files if it.split == split
        ):
            faults.add(DataError(f"{LABELS_FILE}: no {split} picture can be read", hint="add some"))


def _split(
    kept: Sequence[LabelledFile], images: UInt8[np.ndarray, "n c h w"], name: str, path: Path, layout: FolderLayout
) -> Split:
    members = [item for item in kept if item.split == name]
    return Split(
        images=torch.from_numpy(images),
        labels=label_marks([item.labels for item in members], len(layout.class_names))
        if layout.has_several_labels
        else torch.tensor([item.label for item in members]),
        paths=tuple(names_within(path, [item.file for item in members])),
    )


def _describe_left_out(tree: FolderTree, pictures: Pictures, path: Path) -> list[str]:
    remarks = [*describe_outputs(tree.outputs, path)]
    if pictures.unreadable:
        first = next(iter(pictures.unreadable)).relative_to(path).as_posix()
        number = len(pictures.unreadable)
        remarks.append(
            f"Left out: {first}, which cannot be read as a picture."
            if number == 1
            else f"Left out: {number:,} files that cannot be read as pictures, the first {first}."
        )
    return remarks
