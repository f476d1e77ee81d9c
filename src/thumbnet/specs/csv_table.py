"""CSV tables with a header: columns may be added in any place, and are found by their names."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from thumbnet.specs.json_text import HINT, damaged


def read_rows(text: str, *, required: Sequence[str], name: str, hint: str = HINT) -> list[dict[str, str]]:
    """The rows of a table by column.

    Raises:
        RunError: it is no table, one of the `required` columns is missing, or a row is longer or shorter than the
            header; it names the file `name`.
    """
    try:
        header, *rows = [row for row in csv.reader(io.StringIO(text, newline=""), strict=True) if row] or [[]]
    except csv.Error as error:
        raise damaged(name, error, hint=hint) from error
    missing = [column for column in required if column not in header]
    if missing:
        raise damaged(name, f"it has no column {missing[0]!r}", hint=hint)
    if len(set(header)) < len(header):
        raise damaged(name, "a column is there twice", hint=hint)
    for number, row in enumerate(rows, start=1):
        if len(row) != len(header):
            raise damaged(name, f"row {number} has {len(row)} fields for {len(header)} columns", hint=hint)
    return [dict(zip(header, row, strict=True)) for row in rows]
