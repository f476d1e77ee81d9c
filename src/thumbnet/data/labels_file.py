"""labels.csv in a folder of pictures: which label each picture has, or which labels.

    path,label                              path,labels
    a/one.png,cat                           one.png,cat;dog
    two.jpg,dog                             two.png,

Paths are relative to the folder. Several labels of a picture stand between semicolons; in a file with such a picture,
or with the column `labels` in the place of `label`, every picture may have several, or none (an empty label). A column
`split` (train, val or test) divides the pictures; without it, folders train/, val/ and test/ do, if all pictures lie in
these. Every picture of the folder is listed: one that is not is a fault, not a picture without labels.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from thumbnet.data.dataset import SPLIT_NAMES
from thumbnet.data.faults import FolderFaults
from thumbnet.data.folder_layout import FolderLayout, LabelledFile, normalised_name, read_layout, require_folder
from thumbnet.data.folder_tree import FolderTree
from thumbnet.errors import DataError
from thumbnet.specs.data import LABEL_SEPARATOR, Labels, LabelsFrom

LABELS_FILE = "labels.csv"  # in the folder of the data
FIRST_LINE = "its first line is path,label, or path,labels where a picture may have several or none"
PATHS = "a path is as in the folder, with /"
OTHER_SEPARATORS = ";\t|"  # of columns


def labels_from(path: Path, labels: Labels) -> LabelsFrom:
    """Where a folder's labels are: "auto" is its labels.csv, if it has one, else the names of its class folders."""
    if labels == "auto":
        return "file" if os.path.isfile(path / LABELS_FILE) else "folders"  # noqa: PTH113  # False of an impossible name
    return labels


def read_labelled(tree: FolderTree, path: Path, faults: FolderFaults, *, labels: LabelsFrom) -> FolderLayout:
    """The layout of a folder by its labels.csv or by its class folders; errors are those of `read_layout` and
    `read_labels_file`."""
    return read_labels_file(tree, path, faults) if labels == "file" else read_layout(tree, path, faults)


def read_labels_file(tree: FolderTree, path: Path, faults: FolderFaults) -> FolderLayout:
    """The pictures of a folder with their labels, split by split, sorted by path: the order of the rows is of no
    account. What is wrong is added to `faults`, line by line; pictures without a good line are then in no class.

    Raises:
        DatasetNotFoundError: there is no such folder.
        DataError: the file is not there or cannot be read, or no line of it is of a picture of the folder.
    """
    require_folder(path)
    file = path / LABELS_FILE
    twice: list[str] = []
    known: dict[str, Path] = {}
    for picture in tree.files_below([path], ancestors=()):
        name = normalised_name(picture.relative_to(path).as_posix())
        if known.setdefault(name, picture) != picture:
            twice.append(f"two pictures are called {name!r}, in two spellings of Unicode")
    try:
        table = _read(file, known)
    except DataError as error:
        faults.add(error)
        raise faults.as_error(path) from error.__cause__
    table.faults += twice
    rows = _checked(table, known, is_hidden=lambda name: faults.hides(path / name))
    unlisted = sorted(set(known) - {row.path for row in table.rows})
    faults.add_table(file, table.faults, hint=f"mend these lines: {PATHS}")
    faults.add_table(file, (f"{name!r} is not listed" for name in unlisted), hint=f"list every picture: {PATHS}")
    class_names = sorted({label for row in table.rows for label in row.labels})
    split_of = dict(zip((row.path for row in rows), _splits(table, rows), strict=True))
    _find_lacking_labels(table, class_names, split_of, file, faults)
    if not rows:
        raise faults.as_error(path)
    number_of = {name: number for number, name in enumerate(class_names)}
    labels_of = {row.path: tuple(sorted(number_of[label] for label in row.labels)) for row in rows}
    names = sorted(known)
    return FolderLayout(
        folders={name: path for name in SPLIT_NAMES if name in split_of.values()},
        class_names=tuple(class_names),
        files=tuple(
            LabelledFile(known[name], split, labels_of.get(name, ()))
            for split in SPLIT_NAMES
            for name in names
            if split_of.get(name, "train") == split
        ),
        has_several_labels=table.has_several,
        from_file=True,
        num_unplaced=sum(not (labels_of.get(name) or (table.has_several and name in labels_of)) for name in known),
    )


@dataclass(frozen=True)
class _Row:
    line: int
    path: str
    labels: tuple[str, ...]
    split: str
    is_whole: bool = True


@dataclass
class _Table:
    """The rows of a file, whether its pictures may have several labels, and its faults. A row that is not whole has too
    many or too few fields."""

    rows: list[_Row]
    has_several: bool
    has_splits: bool
    faults: list[str] = field(default_factory=list)


def _read(file: Path, known: Collection[str]) -> _Table:
    """The rows, with the paths of `known` pictures as these are."""
    if file.exists() and not file.is_file():  # a pipe would keep us waiting
        raise DataError(f"{file} is no file", hint="give a .csv file in UTF-8")
    try:
        with file.open(newline="", encoding="utf-8-sig") as opened:  # a spreadsheet may put a mark at the beginning
            reader = csv.DictReader(opened, strict=True)
            columns = [name.strip().lower() for name in reader.fieldnames or ()]
            column = "labels" if "labels" in columns else "label"
            _check_columns(file, columns, column)
            reader.fieldnames = columns
            lines = [(reader.line_num, row) for row in reader]
    except FileNotFoundError as error:
        raise DataError(
            f"there is no file {file}", hint="write one, or leave labels out: class folders say what pictures show"
        ) from error
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{file} cannot be read: {error}", hint="give a .csv file in UTF-8") from error
    has_several = column == "labels" or any(LABEL_SEPARATOR in (row[column] or "") for _, row in lines)
    table = _Table([], has_several, "split" in columns)
    for line, row in lines:
        path = _path_of(row["path"] or "", known)
        names = [normalised_name(name.strip()) for name in (row[column] or "").split(LABEL_SEPARATOR)]
        labels = tuple(name for name in names if name)
        is_long, is_short = None in row, any(row[name] is None for name in ("path", column, "split") if name in columns)
        if is_long:
            table.faults.append(f'line {line} has more fields than the first line; put a name with a comma into "..."')
        elif is_short:
            table.faults.append(f"line {line} has fewer fields than the first line")
        elif len(set(labels)) < len(labels):
            table.faults.append(f"line {line}: {path!r} has a label twice")
        elif not labels and not has_several:
            table.faults.append(f"line {line}: {path!r} has no label; call the column labels if that is meant")
        elif len(labels) < len(names) > 1:
            table.faults.append(f"line {line}: a label of {path!r} is empty")
        split = (row.get("split") or "").strip()
        table.rows.append(_Row(line, path, labels, split, is_whole=not is_long and not is_short))
    return table


def _path_of(text: str, known: Collection[str]) -> str:
    """A picture's path as it is, or else as a spreadsheet or Windows may have written it."""
    path = normalised_name(text)
    return path if path in known else normalised_name(text.strip().replace("\\", "/")).removeprefix("./")


def _check_columns(file: Path, columns: Sequence[str], column: str) -> None:
    """DataError with all that is wrong with the first line."""
    other = [mark for mark in OTHER_SEPARATORS if len(columns) == 1 and mark in columns[0]]
    if other:
        raise DataError(f"{file} has {other[0]!r} between its columns", hint=f"put commas between them: {FIRST_LINE}")
    missing = [name for name in ("path", column) if name not in columns]
    found = [f"no column {name!r}" for name in missing]
    found += [f"twice the column {name!r}" for name in ("path", column, "split") if columns.count(name) > 1]
    hints = [f'{FIRST_LINE}; where class folders say what pictures show, set labels = "folders"'] if missing else []
    hints += [FIRST_LINE] if found and not missing else []
    if column == "labels" and "label" in columns:
        found.append("the columns 'label' and 'labels'")
        hints.append("keep one of them")
    if found:
        raise DataError(f"{file} has {' and '.join(found)}", hint="; ".join(hints))


def _checked(table: _Table, known: Mapping[str, Path], *, is_hidden: Callable[[str], bool]) -> list[_Row]:
    """The rows of pictures that are there, each once; what is wrong with others is added to the table's faults.
    `is_hidden` says of a path whether there may be a picture in a folder that could not be listed."""
    line_of: dict[str, int] = {}
    rows = []
    for row in table.rows:
        if not row.is_whole:
            continue
        if row.path in line_of:
            table.faults.append(f"line {row.line}: {row.path!r} is there twice, before in line {line_of[row.path]}")
        elif row.path not in known and is_hidden(row.path):
            continue
        elif row.path not in known:
            table.faults.append(f"line {row.line}: there is no picture {row.path!r} in the folder")
        elif table.has_splits and row.split not in SPLIT_NAMES:
            table.faults.append(f"line {row.line}: the split of {row.path!r} is {row.split!r}, not train, val or test")
        else:
            rows.append(row)
        line_of.setdefault(row.path, row.line)
    return rows


def _splits(table: _Table, rows: Sequence[_Row]) -> list[str]:
    """The split of each row: by its column, else by the first folders where all are called as splits are, else
    train."""
    if table.has_splits:
        return [row.split for row in rows]
    first = [row.path.split("/")[0] if "/" in row.path else "" for row in rows]
    return first if "train" in first and set(first) <= set(SPLIT_NAMES) else ["train"] * len(rows)


def _find_lacking_labels(
    table: _Table, class_names: Sequence[str], split_of: Mapping[str, str], file: Path, faults: FolderFaults
) -> None:
    """Add a fault where there are not two labels, and for each label that has no training picture; rows that have a
    fault themselves may be of one. `split_of` has the splits of the others by path."""
    if len(class_names) < 2:
        found = f"only one label, {class_names[0]!r}" if class_names else "no label"
        hint = "give at least two labels; for yes or no, give the pictures without it a label, too, as not-it"
        faults.add(DataError(f"{file} has {found}", hint=hint))
    trained = {label for row in table.rows if split_of.get(row.path, "train") == "train" for label in row.labels}
    hint = "put pictures of every label into the training split"
    for name in class_names:
        if name not in trained:
            faults.add(DataError(f"{file}: no training picture has the label {name!r}", hint=hint))
