"""A dataset from a folder of image files, one sub-folder per class.

    PATH/cat/*.png  PATH/dog/*.jpg ...           bare class folders: test and validation images are held out of them
    PATH/train/cat/...  PATH/test/cat/...        as given; PATH/val/ as well where it is there

The classes are the names of the sub-folders, sorted; two spellings of one name (composed and decomposed accents) are
one class, and a folder `train`, `val` or `test` that holds pictures itself, beside other classes, is a class. Folders
inside a class folder, and links, are followed, each real folder once. What is left out: see folder_tree.py. Images
become uint8 [N,C,S,S] (see images.py), C 1 if every file is stored in greys, else 3.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image

from thumbnet.data.dataset import SPLIT_NAMES, Source, SourceSplits, Split
from thumbnet.data.folder_tree import FolderTree
from thumbnet.data.pictures import PROGRESS_AFTER_S, Pictures, read_pictures
from thumbnet.data.unreadable import unreadable_error
from thumbnet.errors import DataError, DatasetNotFoundError
from thumbnet.specs.data import WhiteLevels
from thumbnet.terminal.text import counted

UNREADABLE_HINT = "replace them or take them out; or train without them: --set skip_unreadable=true"
SPLIT_ALIASES = {"training": "train", "valid": "val", "validation": "val", "testing": "test"}


@dataclass(frozen=True)
class _Labelled:
    """A file, the split it belongs to and its label."""

    file: Path
    split: str
    label: int


def read_folder(
    path: Path,
    *,
    image_size: int = 32,
    skip_unreadable: bool = False,
    white_levels: WhiteLevels | None = None,
    show_progress: bool = True,
    progress_after_s: float = PROGRESS_AFTER_S,
) -> SourceSplits:
    """The images under `path`, in an order that depends on their names only; `Split.paths` are relative to `path`.

    `flip_keeps_labels` is True: photographs and drawings of things are assumed. For letters, digits or signs, set
    `flip` in the recipe.

    Args:
        path: the folder of one of the forms above.
        image_size: side in pixels.
        skip_unreadable: leave out files that cannot be read as pictures; `source.skipped` names them.
        white_levels, show_progress, progress_after_s: as in `read_pictures`.

    Raises:
        DatasetNotFoundError: there is no such folder.
        DataError: no class folders, only one, an empty one, splits whose classes differ, or a name that is not UTF-8.
        ImageError: files cannot be read as images: it names them all.
        ConfigError: the images would not fit in memory.
    """
    tree = FolderTree()
    folders = _split_folders(tree, path)
    for folder in (path, *folders.values()):
        _refuse_strays(tree, folder, is_split=folder != path)
    class_names = _class_names(tree, folders)
    labelled = [
        _Labelled(file, name, label)
        for name, folder in folders.items()
        for label, files in enumerate(_files_by_class(tree, folder, class_names, ancestors=(path, folder)))
        for file in files
    ]
    pictures = read_pictures(
        [item.file for item in labelled],
        image_size=image_size,
        relative_to=path,
        white_levels=white_levels,
        show_progress=show_progress,
        progress_after_s=progress_after_s,
    )
    if pictures.unreadable and not skip_unreadable:
        raise unreadable_error(list(pictures.unreadable.values()), len(labelled), hint=UNREADABLE_HINT)
    kept = [item for item in labelled if item.file not in pictures.unreadable]
    _check_none_empty(kept, folders, class_names)
    splits = {name: _split(kept, pictures, name, path) for name in folders}
    num_images = sum(len(split) for split in splits.values())
    return SourceSplits(
        train=splits["train"],
        val=splits.get("val"),
        test=splits.get("test"),
        class_names=class_names,
        flip_keeps_labels=True,
        source=Source(
            f"folder:{path.resolve()}",
            f"{num_images:,} images of {len(class_names)} classes in the folder {path}",
            remarks=(*_describe_left_out(tree, pictures, path), *pictures.remarks),
            skipped=tuple(file.relative_to(path).as_posix() for file in pictures.unreadable),
        ),
        white_levels=pictures.white_levels,
        owns_images=True,
    )


def normalised_name(name: str) -> str:
    """One spelling of a class name, accents composed (NFC): systems differ in how they write a file's name."""
    return unicodedata.normalize("NFC", name)


def _split_folders(tree: FolderTree, path: Path) -> dict[str, Path]:
    """The folder of each split that is there; bare class folders are all `train`."""
    hint = "give the folder that holds the class folders"
    try:
        exists = path.exists()
    except OSError:  # a name that the system refuses
        exists = False
    if not exists:
        raise DatasetNotFoundError(f"there is no folder {path}", hint=hint)
    if not path.is_dir():
        raise DatasetNotFoundError(f"{path} is a file, not a folder", hint=hint)
    names = [folder.name for folder in tree.folders(path)]
    meanings = {name: SPLIT_ALIASES.get(name.lower(), name.lower()) for name in names}
    called_split = [name for name in names if name.lower() in SPLIT_NAMES]
    others = [name for name in names if meanings[name] not in SPLIT_NAMES]
    if others and all(_pictures_in(tree, path / name) for name in called_split):
        return {"train": path}  # classes, of which some may be called as splits are
    if others:
        raise DataError(
            f"{path} mixes splits and classes: folder {others[0]!r} stands beside {_listed(called_split)}",
            hint=f"move {others[0]!r} into train/ if it is a class, out of {path} if it is none; if "
            f"{called_split[0]!r} is a class, too, move all classes into a new folder train/",
        )
    for name, meaning in meanings.items():
        if name != meaning:
            raise DataError(f"{path} has a folder {name!r}, expected {meaning!r}", hint=f"rename it to {meaning!r}")
    if names and "train" not in names:
        raise DataError(f"{path} has {_listed(names)} but no train/", hint="add train/ with one folder per class")
    return {name: path / name for name in SPLIT_NAMES if name in names} or {"train": path}


def _class_names(tree: FolderTree, folders: Mapping[str, Path]) -> tuple[str, ...]:
    """The class folders of train, sorted; every other split must have the same."""
    class_names = sorted(_class_folders(tree, folders["train"]))
    if len(class_names) < 2:
        found = f"only one class folder, {class_names[0]!r}" if class_names else "no class folders"
        raise DataError(
            f"{folders['train']} has {found}, expected at least 2",
            hint="give the folder that holds one folder of images per class",
        )
    for folder in folders.values():
        names = set(_class_folders(tree, folder))
        for wrong, what in ((names - set(class_names), "train lacks"), (set(class_names) - names, "it lacks")):
            if wrong:
                raise DataError(
                    f"{folder} has other classes than train: {what} {_listed(wrong)}",
                    hint="every split needs the same class folders",
                )
    return tuple(class_names)


def _class_folders(tree: FolderTree, folder: Path) -> dict[str, list[Path]]:
    """The folders of each class, of which several are spellings of one name."""
    by_name: dict[str, list[Path]] = {}
    for inner in tree.folders(folder):
        by_name.setdefault(normalised_name(inner.name), []).append(inner)
    return by_name


def _refuse_strays(tree: FolderTree, folder: Path, *, is_split: bool) -> None:
    """DataError if images lie in `folder` itself, where only folders belong."""
    strays = _pictures_in(tree, folder)
    if strays:
        or_else = f"; if {folder.name!r} is a class itself, move all classes into a new folder train/, as train/train"
        raise DataError(
            f"{counted(len(strays), 'image')} in {folder} outside its class folders, for instance {strays[0].name}",
            hint=f"move them into a folder per class, or out of the dataset{or_else if is_split else ''}",
        )


def _pictures_in(tree: FolderTree, folder: Path) -> list[Path]:
    """The files in `folder` that are called as pictures are."""
    return [file for file in tree.files(folder) if file.suffix.lower() in Image.registered_extensions()]


def _files_by_class(
    tree: FolderTree, folder: Path, class_names: Sequence[str], *, ancestors: Sequence[Path]
) -> list[list[Path]]:
    """The files of each class of a split, sorted by name."""
    class_folders = _class_folders(tree, folder)
    files_by_class = []
    for name in class_names:
        files = tree.files_below(class_folders[name], ancestors=ancestors)
        if not files:
            raise _empty(class_folders[name][0])
        files_by_class.append(sorted(files, key=lambda file: file.as_posix()))
    return files_by_class


def _check_none_empty(kept: Sequence[_Labelled], folders: Mapping[str, Path], class_names: Sequence[str]) -> None:
    """DataError where no file of a class could be read."""
    present = {(item.split, item.label) for item in kept}
    for split, folder in folders.items():
        for label, name in enumerate(class_names):
            if (split, label) not in present:
                raise _empty(folder / name)


def _empty(folder: Path) -> DataError:
    return DataError(f"class folder {folder} has no images", hint="add images, or remove the folder")


def _split(kept: Sequence[_Labelled], pictures: Pictures, name: str, path: Path) -> Split:
    """The images of one split, which lie side by side in the array of all: a view of it."""
    places = [place for place, item in enumerate(kept) if item.split == name]
    members = kept[places[0] : places[-1] + 1]
    return Split(
        images=torch.from_numpy(pictures.images[places[0] : places[-1] + 1]),
        labels=torch.tensor([item.label for item in members]),
        paths=tuple(item.file.relative_to(path).as_posix() for item in members),
    )


def _describe_left_out(tree: FolderTree, pictures: Pictures, path: Path) -> list[str]:
    remarks = []
    if tree.outputs:
        names = ", ".join(sorted(output.relative_to(path).as_posix() for output in tree.outputs))
        remarks.append(f"Left out, since thumbnet itself wrote it: {names}.")
    if pictures.unreadable:
        first = next(iter(pictures.unreadable)).relative_to(path).as_posix()
        remarks.append(
            f"Left out: {len(pictures.unreadable):,} files that cannot be read as pictures, the first {first}."
        )
    return remarks


def _listed(names: set[str] | list[str]) -> str:
    return ", ".join(repr(name) for name in sorted(names))
