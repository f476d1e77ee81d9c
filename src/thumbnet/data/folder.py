"""A dataset from a folder of image files, one sub-folder per class.

    PATH/cat/*.png  PATH/dog/*.jpg ...           bare class folders: test and validation images are held out of them
    PATH/train/cat/...  PATH/test/cat/...        as given; PATH/val/ as well where it is there

The classes are the names of the sub-folders, sorted. Folders inside a class folder, and links, are followed. Left out
are hidden and system files and those whose name says that they are no image; whatever else is no readable image is an
error that names it. Images become uint8 [N,C,S,S] (see images.py), C 1 if every file is stored in greys, else 3.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from thumbnet.data.dataset import SPLIT_NAMES, Source, SourceSplits, Split
from thumbnet.data.image_tensors import read_image_tensor
from thumbnet.errors import DataError, DatasetNotFoundError

NOT_IMAGE_SUFFIXES = frozenset(
    {".csv", ".db", ".htm", ".html", ".ini", ".json", ".jsonl", ".log", ".md", ".pdf", ".py", ".rst", ".toml", ".tsv"}
    | {".txt", ".xml", ".yaml", ".yml"}  # .db and .ini: Windows' Thumbs.db and desktop.ini
)
SYSTEM_FOLDERS = frozenset({"__MACOSX"})
SPLIT_ALIASES = {"training": "train", "valid": "val", "validation": "val", "testing": "test"}


def read_folder(path: Path, *, image_size: int = 32) -> SourceSplits:
    """The images under `path`, in an order that depends on their names only; `Split.paths` are relative to `path`.

    `mirror_keeps_labels` is True: photographs and drawings of things are assumed. For letters, digits or signs, set
    `flip` in the recipe.

    Raises:
        DatasetNotFoundError: there is no such folder.
        DataError: no class folders, only one, an empty one, splits whose classes differ, or a name that is not UTF-8.
        ImageError: a file cannot be read as an image.
    """
    folders = _split_folders(path)
    for folder in (path, *folders.values()):
        _refuse_strays(folder)
    class_names = _class_names(folders)
    files = {name: _labelled_files(folder, class_names) for name, folder in folders.items()}
    tensors = _read_all([file for members in files.values() for file, _ in members], image_size=image_size)
    splits: dict[str, Split] = {}
    for name, members in files.items():
        splits[name] = Split(
            images=torch.stack(tensors[: len(members)]),
            labels=torch.tensor([label for _, label in members]),
            paths=tuple(file.relative_to(path).as_posix() for file, _ in members),
        )
        del tensors[: len(members)]
    num_images = sum(len(split) for split in splits.values())
    return SourceSplits(
        train=splits["train"],
        val=splits.get("val"),
        test=splits.get("test"),
        class_names=class_names,
        mirror_keeps_labels=True,
        source=Source(
            f"folder:{path.resolve()}", f"{num_images:,} images of {len(class_names)} classes in the folder {path}"
        ),
    )


def _split_folders(path: Path) -> dict[str, Path]:
    """The folder of each split that is there; bare class folders are all `train`."""
    if not path.exists():
        raise DatasetNotFoundError(f"there is no folder {path}", hint="give the folder that holds the class folders")
    if not path.is_dir():
        raise DatasetNotFoundError(
            f"{path} is a file, not a folder", hint="give the folder that holds the class folders"
        )
    names = _folder_names(path)
    meanings = {name: SPLIT_ALIASES.get(name.lower(), name.lower()) for name in names}
    has_splits = any(name.lower() in SPLIT_NAMES for name in names) or set(meanings.values()) <= set(SPLIT_NAMES)
    if not names or not has_splits:
        return {"train": path}
    for name, meaning in meanings.items():
        if meaning not in SPLIT_NAMES:
            raise DataError(
                f"{path} mixes splits and classes: folder {name!r} stands beside {_listed(set(names) - {name})}",
                hint=f"move {name!r} into train/ if it is a class, out of {path} if it is none",
            )
        if name != meaning:
            raise DataError(f"{path} has a folder {name!r}, expected {meaning!r}", hint=f"rename it to {meaning!r}")
    if "train" not in names:
        raise DataError(f"{path} has {_listed(names)} but no train/", hint="add train/ with one folder per class")
    return {name: path / name for name in SPLIT_NAMES if name in names}


def _class_names(folders: dict[str, Path]) -> tuple[str, ...]:
    """The class folders of train, sorted; every other split must have the same."""
    class_names = _folder_names(folders["train"])
    if len(class_names) < 2:
        found = f"only one class folder, {class_names[0]!r}" if class_names else "no class folders"
        raise DataError(
            f"{folders['train']} has {found}, expected at least 2",
            hint="give the folder that holds one folder of images per class",
        )
    for folder in folders.values():
        names = set(_folder_names(folder))
        for wrong, what in ((names - set(class_names), "train lacks"), (set(class_names) - names, "it lacks")):
            if wrong:
                raise DataError(
                    f"{folder} has other classes than train: {what} {_listed(wrong)}",
                    hint="every split needs the same class folders",
                )
    return tuple(class_names)


def _refuse_strays(folder: Path) -> None:
    """DataError if images lie in `folder` itself, where only folders belong."""
    strays = [file for file in _image_files(folder) if file.suffix.lower() in Image.registered_extensions()]
    if strays:
        raise DataError(
            f"{len(strays)} image(s) in {folder} lie in no class folder, for instance {strays[0].name}",
            hint="move them into a folder per class, or out of the dataset",
        )


def _labelled_files(folder: Path, class_names: tuple[str, ...]) -> list[tuple[Path, int]]:
    """The image files of each class with its label, by class and then by name."""
    labelled = []
    for label, name in enumerate(class_names):
        files = sorted(_image_files_below(folder / name), key=lambda file: file.as_posix())
        if not files:
            raise DataError(f"class folder {folder / name} has no images", hint="add images, or remove the folder")
        labelled += [(file, label) for file in files]
    return labelled


def _read_all(files: list[Path], *, image_size: int) -> list[Tensor]:
    """One tensor per file, all with the same number of channels: 3 unless all are grey."""
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:  # Pillow decodes without the GIL
        tensors = list(pool.map(partial(read_image_tensor, image_size=image_size), files))
    num_channels = max(len(tensor) for tensor in tensors)
    return [tensor.expand(num_channels, -1, -1) for tensor in tensors]


def _image_files_below(folder: Path) -> list[Path]:
    """Those in `folder` and in the folders inside it; a circle of links ends in an unreadable path."""
    below = [file for name in _folder_names(folder) for file in _image_files_below(folder / name)]
    return _image_files(folder) + below


def _image_files(folder: Path) -> list[Path]:
    """The files in `folder` whose name does not say that they are no image, sorted."""
    files = [entry for entry in _visible(folder) if not entry.is_dir()]
    return sorted(file for file in files if file.suffix.lower() not in NOT_IMAGE_SUFFIXES)


def _folder_names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in _visible(folder) if entry.is_dir())


def _visible(folder: Path) -> list[Path]:
    try:
        entries = list(folder.iterdir())
    except OSError as error:
        raise DataError(
            f"the folder {folder} cannot be listed: {error.strerror}", hint="check its permissions"
        ) from error
    visible = [entry for entry in entries if not entry.name.startswith(".") and entry.name not in SYSTEM_FOLDERS]
    for entry in visible:
        if any("\ud800" <= letter <= "\udfff" for letter in entry.name):  # how Python shows a byte that is no UTF-8
            raise DataError(f"a name in {folder} is not UTF-8: {os.fsencode(entry.name)!r}", hint="rename it")
    return visible


def _listed(names: set[str] | list[str]) -> str:
    return ", ".join(repr(name) for name in sorted(names))
