"""Which data is meant, and how pictures are to be read. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeAlias, get_args

from thumbnet.errors import ConfigError
from thumbnet.specs.checks import require, require_choice
from thumbnet.specs.division import Division
from thumbnet.specs.sizes import ANY_SIDE, Fit, ImageSize, SideLimits, Sides, as_sides

WhiteLevels: TypeAlias = Mapping[str, float]  # by the kind of deep pictures, see data/white_levels.py
ValFraction: TypeAlias = float | Literal["auto"]  # held out for validation; "auto": see data/val_rule.py
LabelsFrom: TypeAlias = Literal["folders", "file"]  # a folder's class folders, or its labels.csv
Labels: TypeAlias = Literal["auto", "folders", "file"]  # "auto": the file where it is there
LABEL_SEPARATOR = ";"  # of several labels of a picture in a text
NO_LABEL = "no label"  # for people
IMAGE_SIZE = 32  # pixels, where no other side is given
FRACTION_TEXT = '0 to 0.5, or "auto"'  # what `val_fraction` may be
PICTURE_SOURCES = ("folder", "packed")  # data sources of picture files, decoded now or before
ARRAYS = "arrays"  # what `data` is for arrays in memory (`dataset_from_arrays`), which nobody can read again


@dataclass(frozen=True)
class DataSpec:
    """Which data: `data` is `cifar10`, `folder:PATH` or another name of a data source, with a place if it takes one.

    `data_dir` is the folder that holds the data or gets it, None for the usual one; `allow_unverified` accepts files
    that are not as published.
    """

    data: str = "auto"
    data_dir: str | Path | None = None
    allow_unverified: bool = False

    @property
    def name(self) -> str:
        """The source's name: "folder" of "folder:PATH"."""
        return self.data.partition(":")[0]

    @property
    def place(self) -> str:
        """What follows the name: "PATH" of "folder:PATH"."""
        return self.data.partition(":")[2]

    @property
    def path(self) -> Path:
        """The place as a path, of which `~` is the user's home."""
        return expanded(self.place)


@dataclass(frozen=True)
class ReadOptions:
    """How pictures are read: brought to squares of `image_size` pixels, unreadable files left out, the level that is
    white in pictures with more than 8 bits (None: by what the set uses), and whether to show on stderr how far it is.

    Sources that obey `image_shape` get pictures of `wanted_sides`, which may differ from each other or be left to the
    source ("auto", within `auto_sides`), cropped or letterboxed (`fit`). `labels` says what names the classes of a
    folder's pictures. `division`, and `val_fraction` of the training images for validation (None: no image will be held
    out), is how the images will be divided once they are read, so that a source may tell what will not fit with all
    that is wrong with it.
    """

    image_size: int = IMAGE_SIZE
    skip_unreadable: bool = False
    white_levels: WhiteLevels | None = None
    show_progress: bool = True
    shape: Sides | Literal["auto"] | None = None  # None: a square of image_size
    fit: Fit = "crop"
    labels: Labels = "auto"
    auto_sides: SideLimits = ANY_SIDE
    division: Division = Division()
    val_fraction: ValFraction | None = None

    def __post_init__(self) -> None:
        require_choice("labels", self.labels, get_args(Labels))

    @classmethod
    def sized(
        cls,
        image_size: ImageSize,
        *,
        fit: Fit = "crop",
        skip_unreadable: bool = False,
        white_levels: WhiteLevels | None = None,
        labels: Labels = "auto",
        show_progress: bool = True,
        auto_sides: SideLimits = ANY_SIDE,
        division: Division = Division(),
        val_fraction: ValFraction | None = None,
    ) -> ReadOptions:
        """With a checked size of any kind."""
        options = cls(
            skip_unreadable=skip_unreadable,
            white_levels=white_levels,
            show_progress=show_progress,
            fit=fit,
            labels=labels,
            division=division,
            val_fraction=val_fraction,
        )
        if isinstance(image_size, int):
            return replace(options, image_size=image_size)
        shape: Sides | Literal["auto"] = "auto" if image_size == "auto" else as_sides(image_size)
        side = IMAGE_SIZE if shape == "auto" else max(shape)
        return replace(options, image_size=side, shape=shape, auto_sides=auto_sides)

    @property
    def wanted_sides(self) -> Sides | Literal["auto"]:
        """Height and width, or "auto"."""
        return (self.image_size, self.image_size) if self.shape is None else self.shape


def expanded(path: str | Path) -> Path:
    """The path with `~` as the user's home; ConfigError where the user has none."""
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise ConfigError(f"{path} is in no home folder: {error}", hint="write the whole path") from error


def check_val_fraction(val_fraction: float | str) -> None:
    """ConfigError for a word that is no share of the images."""
    require(val_fraction == "auto" or not isinstance(val_fraction, str), "val_fraction", val_fraction, FRACTION_TEXT)
