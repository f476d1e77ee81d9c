"""Images that a file lists, to be left out of the training: `suspects.csv`, as `thumbnet data check` writes it.

`index` counts the source's own training images, in its order and before any are held out: for CIFAR-10 the 50,000, for
a folder without splits all of its images.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from thumbnet.data.class_counts import label_text
from thumbnet.data.dataset import Split
from thumbnet.data.faults import faulty_table
from thumbnet.errors import DataError, DatasetNotFoundError
from thumbnet.terminal.text import quoted

SUSPECT_COLUMNS = ("index", "path", "label", "suggested", "score", "kind")


def read_exclusions(path: str | Path, train: Split, class_names: Sequence[str]) -> frozenset[int]:
    """The positions in `train` that the file lists, whatever their kind; it must be of these very images.

    Args:
        path: a .csv file with at least SUSPECT_COLUMNS, of which index, path and label are compared with `train`.
        train: the source's own training images.

    Raises:
        DatasetNotFoundError: no such file.
        DataError: it is no such file, or lines are of other images than those at their index; it names them all.
    """
    positions = set()
    faults: list[str] = []
    for line, row in _read_rows(Path(path)):
        try:
            position = int(row["index"])
        except (TypeError, ValueError):
            faults.append(f"line {line}: the index is {row['index']!r}, expected a number, which counts images from 0")
            continue
        if not 0 <= position < len(train):
            has = f"the source has {len(train):,} training images"
            faults.append(f"line {line}: the index is {position}, but {has}")
            continue
        known = {
            "path": "" if train.paths is None else train.paths[position],
            "label": label_text(train.labels[position], class_names),
        }
        for column, value in known.items():
            if row[column] != value:
                faults.append(f"line {line}: the {column} of image {position} is {row[column]!r}, but here {value!r}")
                break
        positions.add(position)
    if faults:
        hint = "exclude with a file that was written for this data: check it again if it has changed"
        raise faulty_table(Path(path), faults, hint=hint)
    return frozenset(positions)


def how_to_exclude(path: Path, num_excluded: int) -> str:
    """How to train without the images that `path` lists, too, where `num_excluded` are left out already."""
    if not num_excluded:
        return f"--exclude {quoted(path)}"
    return f"add its lines, without the heading, to the file that lists the {num_excluded:,} left out already"


def num_listed(path: str | Path) -> int:
    """How many images the file lists; errors as of `read_exclusions`, but that no image is compared."""
    return len({row["index"] for _, row in _read_rows(Path(path))})


def _read_rows(path: Path) -> list[tuple[int, dict[str, str]]]:
    """The rows by column, each with the number of its line."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:  # a spreadsheet may put a mark at the beginning
            reader = csv.DictReader(file, restval="")
            columns = reader.fieldnames or ()
            missing = [f"no column {column!r}" for column in SUSPECT_COLUMNS if column not in columns]
            if missing:
                raise DataError(
                    f"{path} has {' and '.join(missing)}", hint=f"its first line is {','.join(SUSPECT_COLUMNS)}"
                )
            return [(reader.line_num, row) for row in reader]
    except FileNotFoundError as error:
        raise DatasetNotFoundError(f"there is no file {path}", hint="`thumbnet data check` writes one") from error
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} cannot be read: {error}", hint="give a .csv file in UTF-8") from error
