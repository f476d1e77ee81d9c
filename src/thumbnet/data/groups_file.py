"""A .csv file that says which images belong together, as groups.csv.

It has the columns `path` (in the data's folder) or, for data without files, `index` (the source's images in order,
those of train, then val, then test), and `group`; more columns may be there. A picture that it does not name is a group
of its own.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import torch

from thumbnet.data.dataset import Split
from thumbnet.data.folder_layout import normalised_name
from thumbnet.errors import DataError, DatasetNotFoundError
from thumbnet.specs.checks import shown

Names: TypeAlias = Sequence[str | None]  # of each image's group, None where it is one of its own


def groups_in_file(
    file: Path, parts: Mapping[str, Split], skipped: Collection[str], *, is_hidden: Callable[[str], bool]
) -> tuple[dict[str, Names], list[str]]:
    """The groups of the images of each split, and what is wrong with lines of the file.

    Args:
        parts: the splits of the data by name.
        skipped: files that were left out, which may be listed.
        is_hidden: whether an image of this path may be in a folder that could not be listed.

    Raises:
        DatasetNotFoundError: there is no such file.
        DataError: it cannot be read, or lacks a column.
    """
    paths = [path for split in parts.values() for path in split.paths or ()]
    known = {normalised_name(path): position for position, path in enumerate(paths)}
    known |= {path: position for position, path in enumerate(paths)}  # two may differ in their spelling alone
    num_images = sum(len(split) for split in parts.values())
    column = "path" if paths else "index"
    names: list[str | None] = [None] * num_images
    faults: list[str] = []
    for line, row in _read_rows(file, column):
        if row[column] in skipped:
            continue
        position = _position(row[column], known if paths else None, num_images)
        group = normalised_name(row["group"].strip())
        if position is None and column == "path" and is_hidden(row[column]):
            continue
        if position is None:
            faults.append(f"line {line}: the data has no image of {column} {shown(row[column])}")
        elif not group:
            faults.append(f"line {line}: the group of {row[column]!r} is empty")
        elif names[position] not in (None, group):
            faults.append(f"line {line}: {row[column]!r} is in the group {group!r}, but before in {names[position]!r}")
        else:
            names[position] = group
    ends = torch.tensor([len(split) for split in parts.values()]).cumsum(0).tolist()
    by_split: dict[str, Names] = {
        name: names[end - len(split) : end] for (name, split), end in zip(parts.items(), ends, strict=True)
    }
    return by_split, faults


def _position(text: str, known: Mapping[str, int] | None, num_images: int) -> int | None:
    if known is not None:
        return known.get(text, known.get(normalised_name(text)))
    is_short = len(text) <= len(str(num_images))  # Python reads no number of thousands of digits
    return int(text) if is_short and text.isdecimal() and int(text) < num_images else None


def _read_rows(file: Path, column: str) -> Iterator[tuple[int, dict[str, str]]]:
    """The rows, each with the number of its line."""
    try:
        with file.open(newline="", encoding="utf-8-sig") as opened:
            reader = csv.DictReader(opened, restval="")
            missing = [f"no column {name!r}" for name in (column, "group") if name not in (reader.fieldnames or ())]
            if missing:
                raise DataError(f"{file} has {' and '.join(missing)}", hint=f"its first line is {column},group")
            for row in reader:
                yield reader.line_num, row
    except FileNotFoundError as error:
        raise DatasetNotFoundError(
            f"there is no file {file}", hint=f"groups names a .csv file with the columns {column} and group"
        ) from error
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{file} cannot be read: {error}", hint="give a .csv file in UTF-8") from error
