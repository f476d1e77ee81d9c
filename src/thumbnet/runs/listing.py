"""The runs in a folder as a table for people, as JSON and as CSV. Without PyTorch."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path

from thumbnet.errors import RunError
from thumbnet.runs.listing_rows import RunRow, read_row, run_folders
from thumbnet.terminal.table import aligned

MAX_DEPTH = 3  # of folders within the one that is listed
SHOWN_CHARACTERS = 60  # of a run's settings in the table


def list_runs(folder: str | Path = "runs") -> list[RunRow]:
    """Every run in the folder and up to three folders below it, the oldest first.

    Raises:
        RunError: there is no such folder.
    """
    place = Path(folder)
    if not place.is_dir():
        raise RunError(f"there is no folder {place}", hint="name the folder that your runs are in")
    rows = [read_row(path) for path in run_folders(place, MAX_DEPTH)]
    return sorted(rows, key=lambda row: (row.date or "9", row.path))


def describe_runs(rows: Sequence[RunRow]) -> str:
    """The table for people."""
    if not rows:
        return "no runs"
    figures = ("accuracy (95% interval)", "balanced (95%)", "area (95%)", "mean AP (95%)")
    table = [("run", "model", "data", "folds", *figures, "epochs", "training", "state", "settings")]
    table += [
        (
            row.path,
            row.model or "-",
            row.data or "-",
            "-" if row.folds is None else f"{row.folds}",
            _accuracy(row),
            _share(row.balanced_accuracy) + _bracketed(_bounds(row.balanced_accuracy_low, row.balanced_accuracy_high)),
            _area(row.auc, row.auc_low, row.auc_high),
            _area(row.mean_average_precision, row.mean_average_precision_low, row.mean_average_precision_high),
            "-" if row.epochs is None else f"{row.epochs}",
            "-" if row.train_s is None else f"{row.train_s:,.0f} s",
            row.state,
            _shortened(" ".join((row.recipe, *settings_texts(row)))),
        )
        for row in rows
    ]
    columns = [column for column in zip(*table, strict=True) if set(column[1:]) != {"-"}]
    return "\n".join(aligned(list(zip(*columns, strict=True))))


def runs_to_dicts(rows: Sequence[RunRow]) -> list[dict[str, object]]:
    """Plain values for JSON."""
    return [asdict(row) for row in rows]


def runs_to_csv(rows: Sequence[RunRow]) -> str:
    """A column for each field; seeds and settings as texts, numbers in full."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow([each.name for each in fields(RunRow)])
    for row in rows:
        values = asdict(row) | {"seeds": " ".join(map(str, row.seeds)), "settings": " ".join(settings_texts(row))}
        writer.writerow(["" if value is None else value for value in values.values()])
    return text.getvalue()


def settings_texts(row: RunRow) -> list[str]:
    """Each setting as KEY=VALUE."""
    return [f"{name}={_text(value)}" for name, value in (row.settings or {}).items()]


def _text(value: object) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}={_text(inner)}" for key, inner in value.items()) + "}"
    return "none" if value is None else str(value)


def _accuracy(row: RunRow) -> str:
    bounds = _bounds(row.accuracy_low, row.accuracy_high)
    if row.accuracy_std is None:
        return _share(row.accuracy) + _bracketed(bounds)
    return f"{_share(row.accuracy)} ± {100 * row.accuracy_std:.2f}{_bracketed(f'n = {row.n}', bounds)}"


def _area(value: float | None, low: float | None, high: float | None) -> str:
    return "-" if value is None else f"{value:.3f}{_bracketed(_bounds(low, high, of=1))}"


def _bounds(low: float | None, high: float | None, *, of: float = 100) -> str:
    """An interval, as a part `of` a hundred or of one; empty where it is not known."""
    decimals = 1 if of > 1 else 3
    return "" if low is None or high is None else f"{of * low:.{decimals}f} to {of * high:.{decimals}f}"


def _bracketed(*texts: str) -> str:
    inside = ", ".join(filter(None, texts))
    return f" ({inside})" if inside else ""


def _share(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.2f} %"


def _shortened(text: str) -> str:
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[: SHOWN_CHARACTERS - 3]}..."
