"""Tables for people: rows as lines whose columns stand below each other."""

from __future__ import annotations

from collections.abc import Sequence


def aligned(rows: Sequence[Sequence[str]], *, num_left: int | None = None) -> list[str]:
    """The rows of a table, all of as many texts, as lines: the first `num_left` columns begin at one place (None: all
    do), the others end at one."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    last_left = len(widths) if num_left is None else num_left
    return [
        "  ".join(
            text.ljust(width) if place < last_left else text.rjust(width)
            for place, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
