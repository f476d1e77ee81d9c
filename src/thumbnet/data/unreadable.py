"""One error for all the picture files that cannot be read."""

from __future__ import annotations

from collections.abc import Sequence

from thumbnet.errors import ImageError

NUM_NAMED = 100  # files that a message names at most


def unreadable_error(errors: Sequence[ImageError], num_files: int, *, hint: str) -> ImageError:
    """An error that names every bad file, the first NUM_NAMED of them; that of a single file is given as it is."""
    if num_files == 1:
        return errors[0]
    lines = [f"  {error.message}" for error in errors[:NUM_NAMED]]
    if len(errors) > NUM_NAMED:
        lines.append(f"  ... and {len(errors) - NUM_NAMED:,} more")
    return ImageError(
        "\n".join([f"{len(errors):,} of {num_files:,} files cannot be read as pictures:", *lines]), hint=hint
    )
