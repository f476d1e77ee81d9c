"""A folder of pictures divided into train, val and test folders, by copies or links. No picture is opened.

What belongs together (see groups.py) stays together. A groups.csv is written for the new folder, and folders inside the
class folders are kept, so that a training on it obeys the same groups; where a labels.csv has the labels, the new
folder has one, too.
"""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, get_args

import torch

from thumbnet.data.class_counts import ClassCounts, class_table, count_classes
from thumbnet.data.dataset import SPLIT_NAMES
from thumbnet.data.division_faults import add_division_faults
from thumbnet.data.faults import FolderFaults
from thumbnet.data.folder_layout import FolderLayout
from thumbnet.data.folder_tree import FolderTree, describe_outputs
from thumbnet.data.groups import check_groups, group_names, resolve_groups, with_groups
from thumbnet.data.hold_out import hold_out
from thumbnet.data.labels_file import LABELS_FILE, labels_from, read_labelled
from thumbnet.data.picture_request import PROGRESS_AFTER_S
from thumbnet.data.pictures import progress_line
from thumbnet.data.several_labels import label_marks
from thumbnet.data.source_splits import SourceSplits
from thumbnet.data.split_files import SplitPlan, write_split
from thumbnet.data.unread import unread_splits
from thumbnet.errors import ConfigError, DataError
from thumbnet.specs.checks import require_choice
from thumbnet.specs.data import Labels
from thumbnet.specs.division import Division

MAX_HELD_OUT = 0.9  # share for test and validation together


@dataclass(frozen=True)
class FolderSplit:
    """Where the pictures are now, how many of each class are in each split and how many in all (which is not the sum
    where a picture has several labels), sentences for people on the groups and on what was left out, and whether there
    are any groups; `str(split)` is the table."""

    path: Path
    counts: ClassCounts
    num_images: Mapping[str, int]
    remarks: tuple[str, ...] = ()
    is_grouped: bool = False

    def __str__(self) -> str:
        return class_table(self.counts, num_images=self.num_images)

    def to_dict(self) -> dict[str, Any]:
        """Values for JSON."""
        return {**asdict(self), "path": str(self.path)}


def split_folder(
    path: str | Path,
    out: str | Path,
    *,
    test: float = 0.25,
    val: float = 0.1,
    split_seed: int = 0,
    groups: str = "off",
    labels: Labels = "auto",
    link: bool = False,
    show_progress: bool = True,
) -> FolderSplit:
    """Divide the pictures of class folders, or of a labels.csv: `out`/train/..., `out`/test/... and `out`/val/...

        thumbnet.split_folder("pets", "pets-split", test=0.25, val=0.1)
        thumbnet.load_dataset("folder:pets-split")

    In these, every picture has the place that it had in `path`. `out`/split.csv lists all pictures, with where each
    came from, and `out`/labels.csv their labels and splits where such a file had the labels: pictures with several are
    divided so that every split has its share of each label. Until all is done, the new folders are hidden, under a name
    that begins with a dot; whatever fails, nothing of them is left.

    Args:
        path: a folder with one sub-folder of pictures for each class, or with a labels.csv.
        out: a new or empty folder, outside `path`.
        test, val: the share of each class for test and for validation; 0 for none.
        split_seed: of the draw, which depends on the names of the files, the shares, the groups and this number alone.
        groups: "folders" (inside the class folders), a .csv file, "auto" (`path`/groups.csv, else such folders) or
            "off".
        labels: "folders" (the names of the class folders), "file" (`path`/labels.csv), or "auto": that file where it is
            there.
        link: make symbolic links, in place of copies.
        show_progress: show on stderr how far it is, where that takes more than two seconds.

    Raises:
        ConfigError: a share, the seed, `groups` or `labels` is none, or `out` is not empty or lies in `path`.
        DataError: `path` is no such folder, has splits of its own, or a class has too few pictures or groups; the file
            of the groups or of the labels has faults; or `out` cannot be written.
    """
    source, target = Path(path), Path(out)
    _check_shares(test, val, split_seed)
    _check_target(source, target)
    asked = Division(groups=groups).groups
    require_choice("labels", labels, get_args(Labels))
    layout, remarks = _layout(source, labels, groups=asked, test=test, val=val, show_progress=show_progress)
    plan = _plan(source, layout, groups=asked, test=test, val=val, split_seed=split_seed)
    plan = replace(plan, remarks=(*remarks, *plan.remarks))
    folder = target.absolute().parent / f".{target.name}.{secrets.token_hex(4)}.tmp"
    try:
        folder.mkdir(parents=True)
        try:
            write_split(folder, source, layout, plan, link=link, show_progress=show_progress)
            if target.exists():
                target.rmdir()
            folder.rename(target)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
    except OSError as error:
        raise DataError(
            f"{target} cannot be written: {error}", hint="name a folder that you may write, on a disk with room"
        ) from error
    return _done(target, layout, plan)


def _check_shares(test: float, val: float, split_seed: int) -> None:
    for name, share in (("test", test), ("val", val)):
        if not 0 <= share < 1:
            raise ConfigError(f"{name} is {share}", hint=f"give the share of each class, for instance --{name} 0.1")
    if test == val == 0:
        raise ConfigError("test and val are both 0", hint="give a share above 0 for one of them, or leave the folder")
    if test + val > MAX_HELD_OUT:
        raise ConfigError(
            f"test and val leave {max(0.0, 1 - test - val):.0%} of the pictures for training",
            hint=f"give shares that are {MAX_HELD_OUT:.0%} at most together",
        )
    if split_seed < 0:
        raise ConfigError(f"split_seed is {split_seed}, expected 0 or more", hint="set split_seed to 0")


def _check_target(source: Path, target: Path) -> None:
    hint = "name a new folder elsewhere with --out"
    if target.resolve().is_relative_to(source.resolve()):
        raise ConfigError(f"{target} lies inside the pictures {source}, and would be read with them", hint=hint)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise ConfigError(f"{target} is not empty" if target.is_dir() else f"{target} is a file", hint=hint)


def _layout(
    path: Path, labels: Labels, *, groups: str, test: float, val: float, show_progress: bool
) -> tuple[FolderLayout, tuple[str, ...]]:
    """The pictures and their labels, and a sentence on what thumbnet wrote among them; DataError, which names all
    faults, where there is something else, where the groups do not fit, and what else has too few pictures for the
    shares."""
    faults = FolderFaults()

    def note(folder: Path, error: DataError) -> None:
        faults.add(error, place=folder)

    with progress_line("listing files", show=show_progress, after_s=PROGRESS_AFTER_S) as count:
        tree = FolderTree(on_unlistable=note, on_foreign_name=note, on_listed=count)
        layout = read_labelled(tree, path, faults, labels=labels_from(path, labels))
    for item in layout.files:
        if not _is_regular(item.file):  # a pipe would keep us waiting
            faults.add(
                DataError(f"{item.file} is not a regular file, or a link that leads to none", hint="take it out")
            )
    if layout.from_file and layout.folders.keys() != {"train"}:
        error = DataError(
            f"the pictures of {path / LABELS_FILE} are divided already: {' and '.join(layout.folders)}",
            hint="take the column split out of it, and the pictures out of folders that are called so",
        )
        faults.add(error)
    elif layout.folders != {"train": path}:
        names = " and ".join(f"{folder.name}/" for folder in layout.folders.values())
        faults.add(DataError(f"{path} has {names} of its own", hint="give a folder that holds class folders only"))
    unread = unread_splits(path, layout)
    check_groups(unread, groups, path, faults, are_divided_anew=True)
    if faults.are_found and layout.folders.keys() == {"train"}:  # else dividing them tells it
        add_division_faults(
            path,
            layout,
            layout.files,
            faults,
            groups=groups,
            holds_test=test > 0,
            holds_val=val > 0,
            hint=_too_few_hint(resolve_groups(groups, unread)),
        )
    faults.raise_all(path)
    return layout, describe_outputs(tree.outputs, path)


def _too_few_hint(groups: str) -> str:
    without_groups = "" if groups == "off" else ", or the groups with --groups off"
    return f"add pictures, take such classes out, or leave a split out with --val 0{without_groups}"


def _is_regular(file: Path) -> bool:
    try:
        return file.is_file()
    except OSError:  # a link to a name that the system refuses
        return False


def _plan(path: Path, layout: FolderLayout, *, groups: str, test: float, val: float, split_seed: int) -> SplitPlan:
    unread = _labelled(unread_splits(path, layout), layout)
    resolved = resolve_groups(groups, unread)
    grouped = with_groups(unread, resolved)
    try:
        indices = hold_out(
            grouped.train.labels,
            val_fraction=val,
            test_fraction=test,
            seed=split_seed,
            class_names=layout.class_names,
            groups=grouped.train.groups,
        )
    except DataError as error:
        raise DataError(error.message, hint=_too_few_hint(resolved)) from error
    splits = [""] * len(layout.files)
    for name, part in indices._asdict().items():
        for index in part.tolist():
            splits[index] = name
    return SplitPlan(splits, group_names(unread, resolved), resolved != "off", grouped.source.remarks)


def _labelled(unread: SourceSplits, layout: FolderLayout) -> SourceSplits:
    """The splits, which are one, with the labels of their files."""
    labels = (
        label_marks([item.labels for item in layout.files], len(layout.class_names))
        if layout.has_several_labels
        else torch.tensor([item.label for item in layout.files])
    )
    return replace(unread, train=replace(unread.train, labels=labels))


def _done(target: Path, layout: FolderLayout, plan: SplitPlan) -> FolderSplit:
    """What there is now."""
    files_of = {
        name: [item for item, split in zip(layout.files, plan.splits, strict=True) if split == name]
        for name in SPLIT_NAMES
        if name in plan.splits
    }
    labels_of = {name: [label for item in files for label in item.labels] for name, files in files_of.items()}
    return FolderSplit(
        target,
        count_classes(labels_of, layout.class_names),
        {name: len(files) for name, files in files_of.items()},
        plan.remarks,
        plan.is_grouped,
    )
