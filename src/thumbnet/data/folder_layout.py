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
    have several labels, or none. Where faults were found, also pictures without a place of theirs are among the files,
    without labels, so that they are read and what else is wrong is told at once; a split may then be missing.
    `num_unplaced` is the number of pictures that may be of any class, once such faults are mended.
    """

    folders: Mapping[str, Path]
    class_names: tuple[str, ...]
    files: tuple[LabelledFile, ...]
    has_several_labels: bool = False
    from_file: bool = False
    num_unplaced: int = 0


def read_layout(tree: FolderTree, path: Path, faults: FolderFaults) -> FolderLayout:
    """The layout of `path`. What is wrong is added to `faults`; what leaves nothing to go on with is raised.

    Raises:
        DatasetNotFoundError: there is no such folder.
        DataError: there are no class folders, or only one without pictures, or splits and classes cannot be told apart.
    """
    require_folder(path)
    folders = _split_folders(tree, path, faults)
    strays = {
        folder: _find_strays(tree, folder, faults, is_split=folder != path)
        for folder in dict.fromkeys((path, *folders.values()))
    }
    class_names = _class_names(tree, folders, faults) if folders else ()
    if not class_names:
        raise faults.as_error(path)
    files: list[LabelledFile] = []
    for name, folder in folders.items():
        inside = (path, folder)
        for label, members in enumerate(_files_by_class(tree, folder, class_names, faults, ancestors=inside)):
            files += [LabelledFile(file, name, (label,)) for file in members]
        misplaced = [*strays.pop(path, ()), *strays.pop(folder, ())]
        misplaced += _files_of_other_classes(tree, folder, class_names, ancestors=inside)
        files += [LabelledFile(file, name, ()) for file in misplaced]
    if not files:
        raise faults.as_error(path)
    return FolderLayout(folders, class_names, tuple(files), num_unplaced=sum(not item.labels for item in files))


def require_folder(path: Path) -> None:
    """DatasetNotFoundError where there is no such folder."""
    hint = "give the folder that holds the class folders"
    try:
        exists = path.exists()
    except OSError:  # a name that the system refuses
        exists = False
    if not exists:
        raise DatasetNotFoundError(f"there is no folder {path}", hint=hint)
    if not path.is_dir():
        raise DatasetNotFoundError(f"{path} is a file, not a folder", hint=hint)


def normalised_name(name: str) -> str:
    """One spelling of a class name, accents composed (NFC): systems differ in how they write a file's name."""
    return unicodedata.normalize("NFC", name)


def no_images(folder: Path) -> DataError:
    """The error for a class folder without pictures."""
    return DataError(f"class folder {folder} has no images", hint="add images, or remove the folder")


def _split_folders(tree: FolderTree, path: Path, faults: FolderFaults) -> dict[str, Path]:
    """The folder of each split that is there, also under another name, which is a fault; bare class folders are all
    `train`. Empty where splits and classes cannot be told apart."""
    names = [folder.name for folder in tree.folders(path)]
    meanings = {name: SPLIT_ALIASES.get(name.lower(), name.lower()) for name in names}
    called_split = [name for name in names if name.lower() in SPLIT_NAMES]
    others = [name for name in names if meanings[name] not in SPLIT_NAMES]
    if others and all(_pictures_in(tree, path / name) for name in called_split):
        return {"train": path}  # classes, of which some may be called as splits are
    if others:
        is_one = len(others) == 1
        beside = f"folder {others[0]!r} stands" if is_one else f"folders {_listed(others)} stand"
        which = repr(others[0]) if is_one else "each of them"
        error = DataError(
            f"{path} mixes splits and classes: {beside} beside {_listed(called_split)}",
            hint=f"move {which} into train/ if it is a class, out of {path} if it is none; if "
            f"{called_split[0]!r} is a class, too, move all classes into a new folder train/",
        )
        faults.add(error)
        are_splits = not any(_pictures_in(tree, path / name) for name in called_split)
        if not are_splits or "train" not in meanings.values():
            return {}
    names = [name for name in names if name not in others]
    for name in names:
        meaning = meanings[name]
        if name != meaning:
            hint = f"move what it holds into {meaning}/" if meaning in names else f"rename it to {meaning!r}"
            faults.add(DataError(f"{path} has a folder {name!r}, expected {meaning!r}", hint=hint))
    if names and "train" not in map(meanings.get, names):
        faults.add(DataError(f"{path} has {_listed(names)} but no train/", hint="add train/ with one folder per class"))
    names.sort(key=lambda name: name == meanings[name])  # the right name counts where there are two
    found = {meanings[name]: path / name for name in names}
    return {name: found[name] for name in SPLIT_NAMES if name in found} or {"train": path}


def _class_names(tree: FolderTree, folders: Mapping[str, Path], faults: FolderFaults) -> tuple[str, ...]:
    """The class folders of train, sorted, which every other split must have, too. That they are fewer than two is a
    fault, and leaves none where they hold no pictures themselves: the folder is most often one level too high."""
    name_of_first, first = next(iter(folders.items()))
    class_folders = _class_folders(tree, first)
    class_names = sorted(class_folders)
    if len(class_names) < 2:
        found = f"only one class folder, {class_names[0]!r}" if class_names else "no class folders"
        if not faults.has_place_in(first):
            error = DataError(
                f"{first} has {found}, expected at least 2",
                hint="give the folder that holds one folder of images per class",
            )
            faults.add(error)
        if not any(tree.files(inner) for of_class in class_folders.values() for inner in of_class):
            return ()
    for folder in folders.values():
        names = set(_class_folders(tree, folder))
        lacks = f"{name_of_first} lacks"
        for wrong, what in ((names - set(class_names), lacks), (set(class_names) - names, "it lacks")):
            if wrong and not faults.has_place_in(folder):
                error = DataError(
                    f"{folder} has other classes than {name_of_first}: {what} {_listed(wrong)}",
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


def _find_strays(tree: FolderTree, folder: Path, faults: FolderFaults, *, is_split: bool) -> list[Path]:
    """The images in `folder` itself, where only folders belong; if there are any, that is a fault."""
    strays = _pictures_in(tree, folder)
    if strays:
        or_else = f"; if {folder.name!r} is a class itself, move all classes into a new folder train/, as train/train"
        error = DataError(
            f"{counted(len(strays), 'image')} in {folder} outside its class folders, for instance {strays[0].name}",
            hint=f"move them into a folder per class, or out of the dataset{or_else if is_split else ''}",
        )
        faults.add(error, place=folder if not tree.folders(folder) else None)
    return strays


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


def _files_of_other_classes(
    tree: FolderTree, folder: Path, class_names: Sequence[str], *, ancestors: Sequence[Path]
) -> list[Path]:
    """The files of a split in folders that are none of the classes."""
    class_folders = _class_folders(tree, folder)
    others = [inner for name in class_folders.keys() - set(class_names) for inner in class_folders[name]]
    return tree.files_below(others, ancestors=ancestors)


def _listed(names: set[str] | list[str]) -> str:
    return ", ".join(repr(name) for name in sorted(names))
