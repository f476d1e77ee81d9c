"""folds.csv and folds.json: which fold each image is in, and which trainings a folder of folds holds."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from thumbnet.runs.files.seed_list import seeds_from_dict
from thumbnet.specs.checks import shown
from thumbnet.specs.csv_table import read_rows
from thumbnet.specs.division import MAX_FOLDS
from thumbnet.specs.json_text import damaged
from thumbnet.specs.typed import from_fields

FOLDS_FORMAT = 1
COLUMNS = ("index", "path", "label", "group", "fold", "is_excluded")


@dataclass(frozen=True)
class FoldRow:
    """An image that is divided: its file, if it has one, its class (or its labels, as labels.csv has them), its group
    ("" for one of its own), its fold, and whether a file lists it to be left out."""

    path: str
    label: str
    group: str
    fold: int
    is_excluded: bool


@dataclass(frozen=True)
class FoldTable:
    """The images in the source's order: those of train, then those of a validation split of its own."""

    rows: tuple[FoldRow, ...]

    def test_images(self, fold: int) -> list[int]:
        """The images that the model of this fold is scored on, in the order of its test split."""
        return [index for index, row in enumerate(self.rows) if row.fold == fold and not row.is_excluded]

    def groups(self) -> tuple[int, ...] | None:
        """A number for each image that is not left out, equal in a group; None where none belong together."""
        if not any(row.group for row in self.rows):
            return None
        codes: dict[str, int] = {}
        first_alone = len(self.rows)  # above the number of any group
        return tuple(
            codes.setdefault(row.group, len(codes)) if row.group else first_alone + index
            for index, row in enumerate(self.rows)
            if not row.is_excluded
        )

    def to_csv(self) -> str:
        """The text of folds.csv."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(COLUMNS)
        for index, row in enumerate(self.rows):
            writer.writerow([index, row.path, row.label, row.group, row.fold, int(row.is_excluded)])
        return text.getvalue()


def fold_table_from_csv(text: str, *, name: str) -> FoldTable:
    """The table; RunError, which names the file `name`, where it is none."""
    rows = []
    known = {str(fold) for fold in range(MAX_FOLDS)}
    for number, row in enumerate(read_rows(text, required=COLUMNS, name=name)):
        if row["index"] != str(number) or row["fold"] not in known or row["is_excluded"] not in ("0", "1"):
            raise damaged(name, f"row {number} is {shown(list(row.values()))}")
        rows.append(FoldRow(row["path"], row["label"], row["group"], int(row["fold"]), row["is_excluded"] == "1"))
    return FoldTable(tuple(rows))


@dataclass(frozen=True)
class FoldList:
    """What folds.json says: the number of folds, the seeds that each is trained with, and the checksum of all images
    and labels that are divided."""

    num_folds: int
    seeds: tuple[int, ...]
    data_checksum: str

    def to_dict(self) -> dict[str, object]:
        return {**asdict(self), "seeds": list(self.seeds)}

    def folder_of(self, fold: int, seed: int) -> str:
        """The name of a run's folder."""
        return f"fold-{fold}" if len(self.seeds) == 1 else f"fold-{fold}-seed-{seed}"


def fold_list_from_dict(values: Mapping[str, object], *, name: str) -> FoldList:
    """The list; RunError, which names the file `name`, where it is none."""
    seeds_from_dict(values, name=name)
    found = from_fields(FoldList, values, name=name)
    if not 2 <= found.num_folds <= MAX_FOLDS:
        raise damaged(name, f"num_folds is {found.num_folds}")
    return found
