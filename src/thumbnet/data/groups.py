"""What belongs together, and so must not stand on both sides of a split: frames of one video, cells of one module.

`groups = "folders"`: the first folder inside a class folder names the group, in whichever class and split it is; a
picture right in the class folder is a group of its own. `groups = "FILE.csv"` lists pictures (see groups_file.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from jaxtyping import Int64
from torch import Tensor

from thumbnet.data.dataset import SPLIT_NAMES, Split
from thumbnet.data.faults import FolderFaults, faulty_table
from thumbnet.data.folder_layout import normalised_name
from thumbnet.data.groups_file import Names, groups_in_file
from thumbnet.data.source_splits import SourceSplits
from thumbnet.data.undivided import with_division_remarks
from thumbnet.errors import ConfigError, DataError
from thumbnet.specs.data import PICTURE_SOURCES, DataSpec, expanded
from thumbnet.specs.division import Division
from thumbnet.terminal.text import counted

GROUPS_FILE = "groups.csv"  # in the folder of the data
LINES_HINT = "mend these lines; paths are as in the folder of the data, with /"
ADVICE = "move them, leave groups out, or divide all images anew: --folds 4"


def resolve_groups(groups: str, splits: SourceSplits) -> str:
    """`groups` of `Division` for this data: "auto" becomes "off", "folders" or a file, a file its whole path.

    Raises:
        ConfigError: "folders" for data that is in no folder.
    """
    spec = DataSpec(splits.source.name)
    is_folder = spec.name in PICTURE_SOURCES and splits.train.paths is not None
    if groups == "folders" and not is_folder:
        raise ConfigError(
            f"groups is 'folders', but the images of {splits.source.name} lie in no folders",
            hint="leave groups out, or name a .csv file with the columns index and group",
        )
    if groups == "folders" and splits.labels_from == "file":
        raise ConfigError(
            "groups is 'folders', but the labels are in labels.csv, and the folders are no classes",
            hint="leave groups out, or name a .csv file with the columns path and group",
        )
    if groups == "auto":
        if not is_folder:
            return "off"
        if (spec.path / GROUPS_FILE).is_file():
            groups = str(spec.path / GROUPS_FILE)
        else:
            is_inside = any(any(names) for names in _by_folder(splits).values())
            groups = "folders" if is_inside and splits.labels_from == "folders" else "off"
    return whole_path(groups)


def whole_path(groups: str) -> str:
    """`groups` with the whole path where it is a file."""
    return str(expanded(groups).resolve()) if Division(groups=groups).names_a_file else groups


def are_same_groups(groups: str, others: str) -> bool:
    """Whether two values of `groups` are equal, or name files of equal content: runs keep copies."""
    places = whole_path(groups), whole_path(others)
    if places[0] == places[1]:
        return True
    try:
        files = [Path(place).read_bytes() for place in places if Division(groups=place).names_a_file]
    except OSError:  # as reading them says
        return False
    return len(files) == len(places) and files[0] == files[1]


def not_obeyed(folder: Path, groups: str) -> tuple[str, ...]:
    """A sentence where a file of groups lies in the folder of the data, but none are asked for."""
    if groups != "off" or not (folder / GROUPS_FILE).is_file():
        return ()
    return (f"{folder / GROUPS_FILE} was not obeyed (--groups auto does): what belongs together may be parted.",)


def check_groups(
    splits: SourceSplits, groups: str, path: Path, faults: FolderFaults, *, are_divided_anew: bool = False
) -> None:
    """Add what `with_groups` would raise of the folder `path` to its other faults. Only the paths in `splits` are
    looked at: no picture need be read. `groups` need not be resolved; errors are those of `resolve_groups`."""
    groups = resolve_groups(groups, splits)
    if groups == "off":
        return
    try:
        by_split, lines = _by_split(splits, groups, is_hidden=lambda name: faults.hides(path / name))
    except DataError as error:
        faults.add(error)
        return
    place = _place(splits, groups)
    faults.add_table(place, lines, hint=LINES_HINT)
    faults.add_table(place, [] if are_divided_anew else _parted(by_split), hint=ADVICE)


def with_groups(splits: SourceSplits, groups: str, *, are_divided_anew: bool = False) -> SourceSplits:
    """The same splits with the groups of their images, and a remark on them; `groups` is resolved.

    Args:
        are_divided_anew: the images are divided into folds, so that it does not matter where the source has them.

    Raises:
        DatasetNotFoundError: there is no such file.
        DataError: the file has faults, or groups stand in two of the source's splits; all are named at once.
    """
    spec = DataSpec(splits.source.name)
    if groups == "off":
        remarks = not_obeyed(spec.path, groups) if spec.name in PICTURE_SOURCES else ()
        return replace(splits, source=with_division_remarks(splits.source, *remarks))
    by_split = _checked(splits, groups, are_divided_anew=are_divided_anew)
    codes: dict[str, int] = {}
    coded = {name: _coded(names, codes) for name, names in by_split.items()}
    first_free = len(codes)
    for name, values in coded.items():
        alone = values < 0
        values[alone] = torch.arange(int(alone.sum())) + first_free
        first_free += int(alone.sum())
        coded[name] = values
    parts = {name: replace(split, groups=coded[name]) for name, split in _splits(splits).items()}
    remark = _describe([name for names in by_split.values() for name in names], groups)
    source = with_division_remarks(splits.source, remark)
    return replace(splits, source=source, train=parts["train"], val=parts.get("val"), test=parts.get("test"))


def group_names(splits: SourceSplits, groups: str) -> tuple[str, ...]:
    """The group's name of each image, train's first, then those of val and test; "" for one that is alone."""
    if groups == "off":
        return ("",) * sum(len(split) for split in _splits(splits).values())
    by_split = _checked(splits, groups, are_divided_anew=True)
    return tuple(name or "" for names in by_split.values() for name in names)


def _checked(splits: SourceSplits, groups: str, *, are_divided_anew: bool) -> dict[str, Names]:
    """The groups of each split's images; DataError with all that is wrong with them."""
    by_split, lines = _by_split(splits, groups)
    parted = [] if are_divided_anew else _parted(by_split)
    if lines or parted:
        hints = [hint for hint, found in ((LINES_HINT, lines), (ADVICE, parted)) if found]
        raise faulty_table(_place(splits, groups), [*lines, *parted], hint="; ".join(hints))
    return by_split


def _place(splits: SourceSplits, groups: str) -> Path:
    """The file of the groups, or the folder of the data."""
    return DataSpec(splits.source.name).path if groups == "folders" else Path(groups)


def _by_split(
    splits: SourceSplits, groups: str, *, is_hidden: Callable[[str], bool] = lambda path: False
) -> tuple[dict[str, Names], list[str]]:
    """The groups of each split's images, and what is wrong with the lines of the file that names them. `is_hidden` says
    of a path whether there may be an image in a folder that could not be listed."""
    if groups == "folders":
        return _by_folder(splits), []
    return groups_in_file(Path(groups), _splits(splits), splits.source.skipped, is_hidden=is_hidden)


def _splits(splits: SourceSplits) -> dict[str, Split]:
    named = {name: getattr(splits, name) for name in SPLIT_NAMES}
    return {name: split for name, split in named.items() if split is not None}


def _coded(names: Names, codes: dict[str, int]) -> Int64[Tensor, " n"]:
    """A number for each name, -1 where there is none; `codes` are those of the names met so far."""
    return torch.tensor(
        [-1 if name is None else codes.setdefault(name, len(codes)) for name in names], dtype=torch.int64
    )


def _by_folder(splits: SourceSplits) -> dict[str, Names]:
    return {
        name: [_folder_of(path, splits.class_names) for path in split.paths or ()]
        for name, split in _splits(splits).items()
    }


def _folder_of(path: str, class_names: Sequence[str]) -> str | None:
    """The folder inside the class folder, or None."""
    *folders, _ = (normalised_name(part) for part in path.split("/"))
    has_split = len(folders) > 1 and folders[0] in SPLIT_NAMES and folders[1] in class_names
    inner = folders[2 if has_split else 1 :]
    return inner[0] if inner else None


def _parted(by_split: Mapping[str, Names]) -> list[str]:
    """What is wrong with each group that stands in two splits that the source defines itself."""
    homes: dict[str, list[str]] = {}
    for split, names in by_split.items():
        for name in dict.fromkeys(names):
            if name is not None:
                homes.setdefault(name, []).append(split)
    return [f"the group {name!r} stands in {' and '.join(of)}" for name, of in homes.items() if len(of) > 1]


def _describe(names: Names, groups: str) -> str:
    sizes: dict[str, int] = {}
    for name in names:
        if name is not None:
            sizes[name] = sizes.get(name, 0) + 1
    alone = sum(name is None for name in names)
    where = "sub-folders of the classes" if groups == "folders" else Path(groups).name
    text = f"Groups ({where}): {counted(len(sizes), 'group')} of {len(names) - alone:,} images"
    if sizes:
        text += f", the largest of {max(sizes.values()):,}"
    if alone:
        text += f"; {counted(alone, 'image')} without a group, each for itself"
    return f"{text}. No split has a part of a group."
