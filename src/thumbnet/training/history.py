"""What happened epoch by epoch: the rows of history.csv."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Literal, overload

from thumbnet.specs.csv_table import read_rows
from thumbnet.specs.json_text import damaged
from thumbnet.specs.typed import from_fields


@dataclass(frozen=True)
class EpochRecord:
    """One epoch. Accuracies are fractions, times seconds; a split that was not scored is None.

    `lr` is that of the epoch's last step; `train_loss` and `train_accuracy` are means over the epoch's images, each
    counted when its batch was trained on; `train_s` is the time of training alone, without scoring. `more` holds
    columns of a later version, which are kept as they are.

    With class weights or a balanced sampler, `train_loss` and `train_accuracy` are still what compares with other
    images: without weights, each class by its share of the training images. `objective` is the mean of what was
    minimised, and `train_balanced_accuracy` the mean of the classes' accuracies; None without either.
    """

    epoch: int
    lr: float
    train_loss: float
    train_accuracy: float
    val_loss: float | None
    val_accuracy: float | None
    test_loss: float | None
    test_accuracy: float | None
    train_s: float
    images_per_s: float
    objective: float | None = None
    train_balanced_accuracy: float | None = None
    val_balanced_accuracy: float | None = None
    test_balanced_accuracy: float | None = None
    more: Mapping[str, float | str | None] = field(default_factory=dict)


COLUMNS = tuple(item.name for item in fields(EpochRecord) if item.name != "more")
LATER_COLUMNS = ("objective", "train_balanced_accuracy", "val_balanced_accuracy", "test_balanced_accuracy")
OPTIONAL_COLUMNS = ("val_loss", "val_accuracy", "test_loss", "test_accuracy", *LATER_COLUMNS)
REQUIRED_COLUMNS = tuple(name for name in COLUMNS if name not in OPTIONAL_COLUMNS)


@dataclass(frozen=True)
class History:
    """The epochs of a run, in order."""

    epochs: tuple[EpochRecord, ...] = ()

    def __iter__(self) -> Iterator[EpochRecord]:
        return iter(self.epochs)

    def __len__(self) -> int:
        return len(self.epochs)

    def __getitem__(self, index: int) -> EpochRecord:
        return self.epochs[index]

    def appended(self, record: EpochRecord) -> History:
        """A history with one epoch more."""
        return History((*self.epochs, record))

    @overload
    def column(self, name: Literal["epoch"]) -> Sequence[int]: ...

    @overload
    def column(
        self, name: Literal["lr", "train_loss", "train_accuracy", "train_s", "images_per_s"]
    ) -> Sequence[float]: ...

    @overload
    def column(self, name: str) -> Sequence[int | float | None]: ...

    def column(self, name: str) -> Sequence[int | float | None]:
        """One column, for instance `train_loss`, epoch by epoch; None where it was not scored."""
        return [getattr(record, name) for record in self.epochs]

    @property
    def train_s(self) -> float:
        """Seconds of training in all epochs together."""
        return sum(record.train_s for record in self.epochs)

    def best_test_epoch(self) -> EpochRecord | None:
        """The epoch with the highest test accuracy (the first of equals), None where the test set was not scored."""
        scored = [record for record in self.epochs if record.test_accuracy is not None]
        return max(scored, key=lambda record: record.test_accuracy or 0.0, default=None)

    def to_csv(self) -> str:
        """The table as CSV text, empty where not scored; floats in full, so that reading it back gives equal values.
        Of LATER_COLUMNS, it has those that have a value."""
        rows = self.to_rows()
        empty = {name for name in LATER_COLUMNS if all(row[name] is None for row in rows)}
        more = dict.fromkeys(name for record in self.epochs for name in record.more)
        columns = [name for name in (*COLUMNS, *more) if name not in empty]
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(columns)
        for row in rows:
            writer.writerow(_written(row.get(name)) for name in columns)
        return text.getvalue()

    def to_rows(self) -> list[dict[str, object]]:
        """Plain dicts, for a checkpoint."""
        return [{**{name: getattr(record, name) for name in COLUMNS}, **record.more} for record in self.epochs]


def history_from_rows(rows: Sequence[Mapping[str, object]], *, name: str = "the history") -> History:
    """The inverse of `to_rows`; RunError, which names the file `name`, where they cannot be of a training."""
    epochs = []
    for number, row in enumerate(rows, start=1):
        more = {key: value for key, value in row.items() if key not in COLUMNS}
        record = from_fields(EpochRecord, {**dict.fromkeys(OPTIONAL_COLUMNS), **row, "more": more}, name=name)
        shares = [getattr(record, column) for column in COLUMNS if column.endswith("_accuracy")]
        if record.epoch != number:
            raise damaged(name, f"row {number} is of epoch {record.epoch}")
        if record.train_s < 0 or not all(share is None or 0 <= share <= 1 for share in shares):
            raise damaged(name, f"a value of epoch {number} is out of its range")
        epochs.append(record)
    return History(tuple(epochs))


def history_from_csv(text: str, *, name: str = "the history") -> History:
    """The inverse of `to_csv`; RunError, which names the file `name`, where the text is not such a table."""
    rows = []
    for row in read_rows(text, required=REQUIRED_COLUMNS, name=name):
        values = {key: _value(value) for key, value in row.items()}
        epoch = values["epoch"]
        rows.append({**values, "epoch": int(epoch) if isinstance(epoch, float) and epoch.is_integer() else epoch})
    return history_from_rows(rows, name=name)


def _written(value: object) -> str:
    return "" if value is None else value if isinstance(value, str) else repr(value)


def _value(text: str) -> float | str | None:
    """A number where the text is one: of columns that this version does not know, it may be something else."""
    try:
        return float(text) if text else None
    except ValueError:
        return text
