"""Copies of picture files that replace nothing."""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path


def copy_file(file: Path, place: Path) -> None:
    """A copy in a new file, with its times where the system takes them; none if it fails. FileExistsError where
    something is there."""
    with file.open("rb") as source:
        target = place.open("xb")
        try:
            with target:
                shutil.copyfileobj(source, target)
            with suppress(OSError):  # network drives and memory sticks may take no times or permissions
                shutil.copystat(file, place)
        except BaseException:
            place.unlink()
            raise
