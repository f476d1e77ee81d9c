"""The sizes of picture files before they are resized; without PyTorch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PictureSides:
    """The sizes in pixels of a folder's pictures, before they were resized: the medians of `num_read` files, and the
    least and the largest shorter side."""

    num_read: int
    height: int
    width: int
    smallest: int
    largest: int

    def __str__(self) -> str:
        return f"{self.width}x{self.height} pixels (median), shorter sides from {self.smallest} to {self.largest}"
