"""The solar cells of the guide for one's own pictures, fetched and sorted into folders by the guide's own code."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from scripts import load_script

builder = load_script("tools/build_guide")
figures, steps = sys.modules["guide_figures"], sys.modules["guide_steps"]


def sort_into_folders(folder: Path) -> Path:
    """Run the guide in `folder` up to its pictures: the folder with both classes. Skips where no index has them."""
    for step in steps.steps_of(builder.GUIDE.read_text()):
        done = steps.run_step(step, folder, replaced=builder.REPLACED)
        if step.text == builder.FETCH and done.status != 0:
            pytest.skip(f"the pictures cannot be fetched: {done.output[-300:]}")
        assert done.status == 0, done.output
        if step.language == "py":
            break
    return folder / "cells"


def keep_one_of(number: int, pictures: Path) -> None:
    """Remove all but one of so many pictures of each class."""
    for folder in pictures.iterdir():
        for place, picture in enumerate(sorted(folder.iterdir())):
            if place % number:
                picture.unlink()
