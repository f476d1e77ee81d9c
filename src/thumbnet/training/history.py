"""What happened epoch by epoch: the rows of history.csv."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from thumbnet.errors import RunError


@dataclass(frozen=True)
class EpochRecord:
    """One epoch. Accuracies are fractions, times seconds; a split that was not scored is None.

    `lr` is that of the epoch's last step; `train_loss` and `train_accuracy` are means over the epoch's images, each
    counted when its batch was trained on; `train_s` is the time of training alone, without scoring.
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


COLUMNS = tuple(item.name for item in fields(EpochRecord))
REQUIRED_COLUMNS = tuple(item.name for item in fields(EpochRecord) if "None" not in str(item.type))


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

    def column(self, name: str) -> list[Any]:
        """One column, for instance `train_loss`, epoch by epoch."""
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
        """The table as CSV text, empty where not scored; floats in full, so that reading it back gives equal values."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(COLUMNS)
        for record in self.epochs:
            writer.writerow("" if value is None else repr(value) for value in asdict(record).values())
        return text.getvalue()

    def to_rows(self) -> list[dict[str, Any]]:
        """Plain dicts, for a checkpoint."""
        return [asdict(record) for record in self.epochs]


def history_from_rows(rows: Sequence[Mapping[str, Any]]) -> History:
    """The inverse of `to_rows`."""
    return History(tuple(EpochRecord(**row) for row in rows))


def history_from_csv(text: str) -> History:
    """The inverse of `to_csv`; RunError where the text is not such a table."""
    reader = csv.DictReader(io.StringIO(text))
    if tuple(reader.fieldnames or ()) != COLUMNS:
        raise RunError(f"the history has the columns {reader.fieldnames}", hint=f"expected {', '.join(COLUMNS)}")
    rows = []
    for row in reader:
        try:
            numbers: dict[str, Any] = {name: float(value) if value else None for name, value in row.items()}
            if any(numbers[name] is None for name in REQUIRED_COLUMNS):
                raise ValueError("an empty field")
            rows.append({**numbers, "epoch": int(row["epoch"])})
        except (TypeError, ValueError) as error:
            raise RunError(f"the history has a damaged row {row}", hint="train again, or resume the run") from error
    return history_from_rows(rows)
