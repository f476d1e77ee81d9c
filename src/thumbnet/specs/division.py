"""How images are divided into parts: what belongs together, and which fold is held out. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass

from thumbnet.errors import ConfigError
from thumbnet.specs.checks import require

GROUP_WORDS = ("off", "auto", "folders")
MAX_FOLDS = 50


@dataclass(frozen=True, kw_only=True)
class Division:
    """Which images must not be parted, and which part of all images is the test split.

    Args:
        groups: pictures of one group never stand on both sides of a split. "off": no groups; "folders": the sub-folders
            of the class folders, of which one name is one group in every class; a .csv file (see data/groups.py);
            "auto": groups.csv in the folder of the data, else the sub-folders of the classes, else none.
        folds: into how many parts all images are divided, together with `fold`; None: they are not.
        fold: which of these parts is the test split, from 0.
    """

    groups: str = "off"
    folds: int | None = None
    fold: int | None = None

    def __post_init__(self) -> None:
        if self.groups not in GROUP_WORDS and not self.names_a_file:
            raise ConfigError(f"groups is {self.groups!r}", hint='groups is "off", "auto", "folders" or a .csv file')
        if self.folds is None:
            if self.fold is not None:
                raise ConfigError(f"fold is {self.fold}, but folds is not given", hint="give both, or neither")
            return
        require(2 <= self.folds <= MAX_FOLDS, "folds", self.folds, f"2 to {MAX_FOLDS}")
        if self.fold is None:
            raise ConfigError(
                f"folds is {self.folds}, but fold is not given", hint="say which of them is held out: fold = 0"
            )
        require(0 <= self.fold < self.folds, "fold", self.fold, f"0 to {self.folds - 1}")

    @property
    def names_a_file(self) -> bool:
        """Whether `groups` is a .csv file."""
        return self.groups.lower().endswith(".csv")
