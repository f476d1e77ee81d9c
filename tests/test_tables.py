"""Tables for people on the terminal."""

from __future__ import annotations

from thumbnet.terminal.table import aligned

ROWS = [("name", "n", "note"), ("a", "10", ""), ("longer", "3", "x")]


def test_columns_begin_or_end_at_one_place_and_lines_end_without_blanks() -> None:
    assert aligned(ROWS) == ["name    n   note", "a       10", "longer  3   x"]
    assert aligned(ROWS, num_left=1) == ["name     n  note", "a       10", "longer   3     x"]
