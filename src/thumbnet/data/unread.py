"""The files of a folder as splits before any picture is opened: their names alone say what groups they are of."""

from __future__ import annotations

from pathlib import Path

import torch

from thumbnet.data.dataset import SPLIT_NAMES, Source, Split
from thumbnet.data.folder_layout import FolderLayout, normalised_name
from thumbnet.data.picture_request import names_within
from thumbnet.data.source_splits import SourceSplits


def unread_splits(path: Path, layout: FolderLayout) -> SourceSplits:
    """The splits of a layout with the paths of their files; images and labels are zeros.

    Where the layout has faults, a class may be there that is none in train; and where a split's folder has another name
    than it should, paths are those that the files will have with the right one.
    """
    train, val, test = (_split(path, layout, name) for name in SPLIT_NAMES)
    has_splits = set(layout.folders.values()) != {path}
    misplaced = [item.file for item in layout.files if not item.labels] if has_splits else []
    others = {name.split("/")[1] for name in names_within(path, misplaced) if name.count("/") > 1}
    return SourceSplits(
        train=train,
        val=val if len(val) else None,
        test=test if len(test) else None,
        class_names=(*layout.class_names, *(normalised_name(name) for name in sorted(others))),
        flip_keeps_labels=True,
        source=Source(f"folder:{path.resolve()}", f"the files in the folder {path}"),
        labels_from="file" if layout.from_file else "folders",
    )


def _split(path: Path, layout: FolderLayout, name: str) -> Split:
    names = names_within(path, [item.file for item in layout.files if item.split == name])
    folder = layout.folders.get(name, path)
    if folder not in (path, path / name):
        names = [_renamed(text, f"{folder.name}/", f"{name}/") for text in names]
    images = torch.zeros(len(names), 1, 1, 1, dtype=torch.uint8)
    return Split(images, torch.zeros(len(names), dtype=torch.int64), tuple(names))


def _renamed(text: str, beginning: str, right: str) -> str:
    return right + text.removeprefix(beginning) if text.startswith(beginning) else text
