"""The files of a folder that is divided into train, val and test folders: pictures by copies or links, and tables."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

from thumbnet.data.copying import copy_file
from thumbnet.data.folder_layout import FolderLayout
from thumbnet.data.groups import GROUPS_FILE
from thumbnet.data.labels_file import LABELS_FILE
from thumbnet.data.picture_request import PROGRESS_AFTER_S
from thumbnet.data.pictures import progress_line
from thumbnet.errors import DataError
from thumbnet.specs.data import LABEL_SEPARATOR

TABLE = "split.csv"
COLUMNS = ("path", "split", "class", "group", "from")


@dataclass(frozen=True)
class SplitPlan:
    """The split of each file, its group ("" if it is alone), whether any are grouped, and sentences on that."""

    splits: list[str]
    groups: tuple[str, ...]
    is_grouped: bool
    remarks: tuple[str, ...]


def write_split(
    folder: Path, source: Path, layout: FolderLayout, plan: SplitPlan, *, link: bool, show_progress: bool
) -> None:
    """Put every picture in its place, and write the tables."""
    rows: list[tuple[str, ...]] = []
    verb = "linking" if link else "copying"
    with progress_line(
        f"{verb} pictures", total=len(plan.splits), show=show_progress, after_s=PROGRESS_AFTER_S
    ) as advance:
        for item, split, group in zip(layout.files, plan.splits, plan.groups, strict=True):
            labels = LABEL_SEPARATOR.join(layout.class_names[label] for label in item.labels)
            inside = item.file.relative_to(source)
            place = folder / split / inside
            place.parent.mkdir(parents=True, exist_ok=True)
            if link:
                place.symlink_to(item.file.absolute())  # links in its path, and steps back from these, stay
            else:
                _copy(item.file, place)
            name = inside.as_posix()
            rows.append((f"{split}/{name}", split, labels, group, name))
            advance(1)
    _write_table(folder / TABLE, COLUMNS, rows)
    if layout.from_file:
        column = "labels" if layout.has_several_labels else "label"
        _write_table(folder / LABELS_FILE, ("path", column, "split"), [(row[0], row[2], row[1]) for row in rows])
    if plan.is_grouped:
        _write_table(folder / GROUPS_FILE, ("path", "group"), [(row[0], row[3]) for row in rows if row[3]])


def _copy(file: Path, place: Path) -> None:
    """DataError where it is the picture that cannot be read; OSError where it is the copy that cannot be written."""
    try:
        copy_file(file, place)
    except OSError as error:
        if error.filename == str(file):
            raise DataError(f"{file} cannot be read: {error.strerror}", hint="allow it, or take it out") from error
        raise


def _write_table(path: Path, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    text = StringIO()
    csv.writer(text, lineterminator="\n").writerows([columns, *rows])
    path.write_text(text.getvalue(), encoding="utf-8")
