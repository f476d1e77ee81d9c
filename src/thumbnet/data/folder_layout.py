"""Which files of a folder of pictures belong to which split and class; no picture is opened.

    PATH/cat/*.png  PATH/dog/*.jpg ...           bare class folders: test and validation images are held out of them
    PATH/train/cat/...  PATH/test/cat/...        as given; PATH/val/ as well where it is there

The classes are the names of the sub-folders, sorted; two spellings of one name (composed and decomposed accents) are
one class, and a folder `train`, `val` or `test` that holds pictures itself, beside other classes, is a class. Folders
inside a class folder, and links, are followed, each real folder once. What is left out: see folder_tree.py.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from thumbnet.data.dataset import SPLIT_NAMES
from thumbnet.data.faults import FolderFaults
from thumbnet.data.folder_tree import FolderTree
from thumbnet.data.heif import PLUGIN_SUFFIXES
from thumbnet.errors import DataError, DatasetNotFoundError
from thumbnet.terminal.text import counted

SPLIT_ALIASES = {"training": "train", "valid": "val", "validation": "val", "testing": "test"}


@dataclass(frozen=True)
class LabelledFile:
    """A file, the split it belongs to and its labels, in ascending order: one, unless pictures may have several."""

    file: Path
    split: str
    labels: tuple[int, ...]

    @property
    def label(self) -> int:
        """The only label."""
        (label,) = self.labels
        return label


@dataclass(frozen=True)
class FolderLayout:
    """The folder of each split, the classes, and all files: split by split, class by class, sorted by name.

    `from_file`: the labels are those of labels.csv (see labels_file.py), where files are sorted by name alone and may
    have several labels, or none.
    """

    folders: Mapping[str, Path]
    class_names: tuple[str, ...]
    files: tuple[LabelledFile, ...]
    has_several_labels: bool = False
    from_file: bool = False


def read_layout(tree: FolderTree, path: Path, faults: FolderFaults) -> FolderLayout:
    """The layout of `path`. What is wrong is added to `faults`; what leaves nothing to go on with is raised.

    Raises:
        DatasetNotFoundError: there is no such folder.
        DataError: there are not two class folders, or splits and classes cannot be told apart.
    """
    folders = _split_folders(tree, path)
    for folder in dict.fromkeys((path, *folders.values())):
        _find_strays(tree, folder, faults, is_split=folder != path)
    class_names = _class_names(tree, folders, faults)
    if not class_names:
        faults.raise_all(path)
    files = tuple(
        LabelledFile(file, name, (label,))
        for name, folder in folders.items()
        for label, members in enumerate(_files_by_class(tree, folder, class_names, faults, ancestors=(path, folder)))
        for file in members
    )
    if not files:
        faults.raise_all(path)
    return FolderLayout(folders, class_names, files)


def normalised_name(name: str) -> str:
    """One spelling of a class name, accents composed (NFC): systems differ in how they write a file's name."""
    return unicodedata.normalize("NFC", name)


def no_images(folder: Path) -> DataError:
    """The error for a class folder without pictures."""
    return DataError(f"class folder {folder} has no images", hint="add images, or remove the folder")


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


def _class_names(tree: FolderTree, folders: Mapping[str, Path], faults: FolderFaults) -> tuple[str, ...]:
    """The class folders of train, sorted, which every other split must have, too; none where they are fewer than two,
    which then is among the faults."""
    class_names = sorted(_class_folders(tree, folders["train"]))
    if len(class_names) < 2:
        found = f"only one class folder, {class_names[0]!r}" if class_names else "no class folders"
        if not faults.has_place_in(folders["train"]):
            error = DataError(
                f"{folders['train']} has {found}, expected at least 2",
                hint="give the folder that holds one folder of images per class",
            )
            faults.add(error)
        return ()
    for folder in folders.values():
        names = set(_class_folders(tree, folder))
        for wrong, what in ((names - set(class_names), "train lacks"), (set(class_names) - names, "it lacks")):
            if wrong and not faults.has_place_in(folder):
                error = DataError(
                    f"{folder} has other classes than train: {what} {_listed(wrong)}",
                    hint="every split needs the same class folders",
                )
                faults.add(error)
    return tuple(class_names)


def _class_folders(tree: FolderTree, folder: Path) -> dict[str, list[Path]]:
    """The folders of each class, of which several are spellings of one name."""
    by_name: dict[str, list[Path]] = {}
    for inner in tree.folders(folder):
        by_name.setdefault(normalised_name(inner.name), []).append(inner)
    return by_name


def _find_strays(tree: FolderTree, folder: Path, faults: FolderFaults, *, is_split: bool) -> None:
    """Add a fault if images lie in `folder` itself, where only folders belong."""
    strays = _pictures_in(tree, folder)
    if strays:
        or_else = f"; if {folder.name!r} is a class itself, move all classes into a new folder train/, as train/train"
        error = DataError(
            f"{counted(len(strays), 'image')} in {folder} outside its class folders, for instance {strays[0].name}",
            hint=f"move them into a folder per class, or out of the dataset{or_else if is_split else ''}",
        )
        faults.add(error, place=folder if not tree.folders(folder) else None)


def _pictures_in(tree: FolderTree, folder: Path) -> list[Path]:
    """The files in `folder` that are called as pictures are."""
    endings = Image.registered_extensions().keys() | PLUGIN_SUFFIXES
    return [file for file in tree.files(folder) if file.suffix.lower() in endings]


def _files_by_class(
    tree: FolderTree, folder: Path, class_names: Sequence[str], faults: FolderFaults, *, ancestors: Sequence[Path]
) -> list[list[Path]]:
    """The files of each class of a split, sorted by name."""
    class_folders = _class_folders(tree, folder)
    files_by_class = []
    for name in class_names:
        of_class = class_folders.get(name, [])
        files = tree.files_below(of_class, ancestors=ancestors)
        if of_class and not files and not any(faults.has_place_in(inner) for inner in of_class):
            faults.add(no_images(of_class[0]))
        files_by_class.append(sorted(files, key=lambda file: file.as_posix()))
    return files_by_class


def _listed(names: set[str] | list[str]) -> str:
    return ", ".join(repr(name) for name in sorted(names))
