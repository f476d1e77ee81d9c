"""One error for all the picture files that cannot be read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from thumbnet.errors import ImageError

OnUnreadable: TypeAlias = Callable[[str, ImageError], object]  # called with a name and what is wrong with it

NUM_NAMED = 100  # files, or other faults, that a message names at most


def unreadable_error(
    errors: Sequence[ImageError], num_files: int, *, hint: str, trouble: str = "files cannot be read as pictures"
) -> ImageError:
    """An error that names every bad file, the first NUM_NAMED of them; that of a single file is given as it is."""
    if num_files == 1:
        return errors[0]
    lines = [f"  {error.message}" for error in errors[:NUM_NAMED]]
    if len(errors) > NUM_NAMED:
        lines.append(f"  ... and {len(errors) - NUM_NAMED:,} more")
    return ImageError("\n".join([f"{len(errors):,} of {num_files:,} {trouble}:", *lines]), hint=hint)
