"""What a reader of picture files is asked to read, and what it gives."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from jaxtyping import UInt8

from thumbnet.errors import ImageError
from thumbnet.specs.data import WhiteLevels
from thumbnet.specs.sizes import Fit, Sides

PROGRESS_AFTER_S = 2.0


@dataclass(frozen=True)
class PictureRequest:
    """Which picture files to read, in their order, and how.

    Args:
        files: at least one; those of a split stand together.
        num_files: how many of them each split has, in the order of the files.
        sides: height and width in pixels that pictures are brought to.
        relative_to: the folder that remarks name files in.
        fit: as in `load_dataset`.
        white_levels: as in `read_picture`; None: one scale for each kind of deep pictures, by the highest level.
        show_progress: a progress bar on stderr, if reading takes more than `progress_after_s` seconds.
    """

    files: tuple[Path, ...]
    num_files: Mapping[str, int]
    sides: Sides
    relative_to: Path
    fit: Fit = "crop"
    white_levels: WhiteLevels | None = None
    show_progress: bool = True
    progress_after_s: float = PROGRESS_AFTER_S

    def names(self) -> list[str]:
        """The files' paths within the folder."""
        return names_within(self.relative_to, self.files)


def names_within(folder: Path, files: Iterable[Path]) -> list[str]:
    """The paths of files within a folder that they begin with, ten times as fast as `relative_to`."""
    start = f"{folder.as_posix()}/"
    names = []
    for file in files:
        text = file.as_posix()
        is_plain = text.startswith(start) and len(start) > 2
        names.append(text[len(start) :] if is_plain else file.relative_to(folder).as_posix())
    return names


@dataclass(frozen=True)
class Pictures:
    """The pictures that could be read; `unreadable` has the other files with what is wrong.

    `take_images` gives the images of each split, uint8 [N,C,H,W], once it is known that they are wanted. `are_mapped`:
    they lie in a file, and are read from it when they are used.
    """

    take_images: Callable[[], Mapping[str, UInt8[np.ndarray, "_ c h w"]]]
    unreadable: Mapping[Path, ImageError]
    white_levels: WhiteLevels
    remarks: tuple[str, ...]
    are_mapped: bool = False


ReadPictures: TypeAlias = Callable[[PictureRequest], Pictures]
