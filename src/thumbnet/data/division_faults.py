"""Classes of a folder that have too few pictures, or groups of them, for what they will be divided into: told with all
else that is wrong with the folder, and not once that is mended."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path

from thumbnet.data.faults import FolderFaults
from thumbnet.data.folder_layout import FolderLayout, LabelledFile
from thumbnet.data.groups import group_names, resolve_groups
from thumbnet.data.too_few import Kind, Unit, needed_for_splits, refuse_few_for_folds, refuse_few_for_splits
from thumbnet.data.unread import unread_splits
from thumbnet.errors import DataError


def add_division_faults(
    path: Path,
    layout: FolderLayout,
    files: Sequence[LabelledFile],
    faults: FolderFaults,
    *,
    groups: str,
    folds: int | None = None,
    holds_test: bool,
    holds_val: bool,
    hint: str = "",
) -> None:
    """Add a fault for the classes that have too few of `files`, which are those of `layout` that can be used.

    A picture whose class is not known, since its place or its line has a fault, may turn out to be of any class: one
    that has enough with all of these is none. Nor is one with a folder that could not be listed.

    Args:
        groups: as of `Division`; where they have faults themselves, each picture counts for itself.
        folds: into how many parts the pictures of train and val are divided; None: they are not.
        holds_test, holds_val: whether images are held out of those of train, if there are no folds.
        hint: in the place of the usual one.
    """
    divided = ("train",) if folds is None else ("train", "val")
    group_of = _group_of_each(path, layout, groups)
    units: list[set[Hashable]] = [set() for _ in layout.class_names]
    for item in files:
        for label in item.labels if item.split in divided else ():
            units[label].add(group_of.get(item.file) or item.file)
    needed = needed_for_splits(holds_test=holds_test, holds_val=holds_val) if folds is None else folds
    folders = [layout.folders[split] for split in divided if split in layout.folders]
    numbers = [
        0 if len(own) + layout.num_unplaced >= needed or _is_hidden(name, folders, layout, faults) else len(own)
        for name, own in zip(layout.class_names, units, strict=True)
    ]
    unit: Unit = "group" if group_of else "image"
    kind: Kind = "label" if layout.has_several_labels else "class"
    try:
        if folds is None:
            refuse_few_for_splits(
                numbers, layout.class_names, holds_test=holds_test, holds_val=holds_val, unit=unit, kind=kind
            )
        else:
            refuse_few_for_folds(numbers, layout.class_names, folds, unit=unit, kind=kind)
    except DataError as error:
        faults.add(DataError(error.message, hint=hint or error.hint))


def _group_of_each(path: Path, layout: FolderLayout, groups: str) -> Mapping[Path, str]:
    """The group of each file, "" for one that is alone; nothing where there are no groups, or these have faults."""
    unread = unread_splits(path, layout)
    resolved = resolve_groups(groups, unread)
    if resolved == "off":
        return {}
    try:
        names = group_names(unread, resolved)
    except DataError:
        return {}
    return {item.file: name for item, name in zip(layout.files, names, strict=True)}


def _is_hidden(name: str, folders: Sequence[Path], layout: FolderLayout, faults: FolderFaults) -> bool:
    """Whether pictures of this class may lie in a folder that could not be listed completely."""
    return any(faults.has_place_in(folder if layout.from_file else folder / name) for folder in folders)
