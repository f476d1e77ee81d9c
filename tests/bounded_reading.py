"""A reader of benchmarks/trust on one file, in the time and the memory that the fuzzing benchmark allows."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trust.reader import Reader


def begun(reader: Reader) -> Reader:
    """A reader that has read a whole file: what it imports and starts is not of the time and memory of a broken one."""
    reader.read(reader.seeds[0])
    return reader


def try_on(reader: Reader, content: bytes) -> bool:
    """Whether a file is read, False where it is refused, within the bounds."""
    from trust.bounds import LateError, bounded

    try:
        with bounded():
            return reader.try_on(content)
    except LateError as error:  # nothing else tells of the file: Hypothesis lets it pass at once
        error.add_note(f"the file: {content!r}")
        raise
