"""Data sources by name: what reads them, what follows their name, and which arguments they obey.

A source of your own needs a function that returns `SourceSplits`, and one call:

    def read(spec: DataSpec, options: ReadOptions) -> SourceSplits: ...

    thumbnet.register_data_source("shapes", read, place="FILE", obeys=("image_size",))
    thumbnet.load_dataset("shapes:squares.bin", image_size=16)

A package brings one by an entry point of the group `thumbnet.data_sources` that names a `DataSource`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import Any

from thumbnet.data.labels_file import labels_from
from thumbnet.data.own_sources import (
    read_auto,
    read_cifar10,
    read_cifar100,
    read_digits,
    read_folder,
    read_npz,
    read_packed,
)
from thumbnet.data.source_checks import check_splits
from thumbnet.data.source_splits import SourceSplits
from thumbnet.errors import ConfigError, DataError, DatasetNotFoundError
from thumbnet.specs.checks import did_you_mean
from thumbnet.specs.data import ARRAYS, IMAGE_SIZE, DataSpec, ReadOptions
from thumbnet.specs.division import Division
from thumbnet.specs.registry import Registry
from thumbnet.specs.sizes import Fit, Sides, as_image_size

# What a source may obey; `image_shape`: heights and widths that differ, "auto", and `fit`.
ARGUMENTS = ("data_dir", "allow_unverified", "image_size", "image_shape", "skip_unreadable", "labels")
PACK = "packed"
MADE_WITH = ("skip_unreadable", "labels")  # that a pack may be told of again, as it was made
ADVICE = {
    "data_dir": "is not read from there",
    "allow_unverified": "has no published checksums",
    "skip_unreadable": "is not read picture by picture",
    "labels": "has no labels.csv",
}


@dataclass(frozen=True)
class DataSource:
    """What reads a data source.

    Args:
        read: from the spec and the options to the splits, whose images are uint8 [N,C,H,W] with 1 or 3 channels.
        place: what follows the source's name and a colon, as people are told: "PATH"; "" if nothing does.
        is_path: whether the place is a path, which a run then records as a whole one.
        obeys: which of ARGUMENTS it obeys; the others are refused where they are given.
        search_leaks: look for images that stand in two splits before a training; not for data of which it is known.
        val_fraction: what `val_fraction = "auto"` holds out of its training images; None: by the number of images, see
            val_rule.py.
    """

    read: Callable[[DataSpec, ReadOptions], SourceSplits]
    place: str = ""
    is_path: bool = True
    obeys: frozenset[str] = field(default_factory=frozenset)
    val_fraction: float | None = None
    search_leaks: bool = True

    def __post_init__(self) -> None:
        unknown = sorted(set(self.obeys) - set(ARGUMENTS))
        if unknown:
            raise ConfigError(f"obeys has {unknown[0]!r}", hint=f"choose from {', '.join(ARGUMENTS)}")


CIFAR_VAL_FRACTION = 0.02  # a thousand images
CIFAR_ARGUMENTS = frozenset({"data_dir", "allow_unverified"})
FOLDER_ARGUMENTS = frozenset({"image_size", "image_shape", "skip_unreadable", "labels"})
DATA_SOURCES: Registry[DataSource] = Registry(
    "data source",
    "thumbnet.data_sources",
    {
        "auto": DataSource(read_auto, obeys=CIFAR_ARGUMENTS, search_leaks=False),
        "cifar10": DataSource(read_cifar10, obeys=CIFAR_ARGUMENTS, val_fraction=CIFAR_VAL_FRACTION, search_leaks=False),
        "cifar100": DataSource(
            read_cifar100, obeys=CIFAR_ARGUMENTS, val_fraction=CIFAR_VAL_FRACTION, search_leaks=False
        ),
        "digits": DataSource(read_digits, search_leaks=False),
        "folder": DataSource(read_folder, place="PATH", obeys=FOLDER_ARGUMENTS),
        "npz": DataSource(read_npz, place="FILE"),
        PACK: DataSource(read_packed, place="DIR"),
    },
)


GIVEN = "given"  # the key of splits that were given, under which nothing is read
_KEPT: ContextVar[dict[str, SourceSplits] | None] = ContextVar("kept sources", default=None)


def register_data_source(
    name: str,
    read: Callable[[DataSpec, ReadOptions], SourceSplits],
    *,
    place: str = "",
    is_path: bool = True,
    obeys: Collection[str] = (),
    val_fraction: float | None = None,
    replace: bool = False,
) -> None:
    """Add a data source of your own; the arguments are those of `DataSource`.

    Args:
        name: what `data` begins with, before a colon if there is a `place`.
        replace: take the place of one that was registered before.

    Raises:
        ConfigError: the name is no word of lower-case letters, digits, `-`, `_` and `.`, or is taken.
    """
    source = DataSource(read, place=place, is_path=is_path, obeys=frozenset(obeys), val_fraction=val_fraction)
    DATA_SOURCES.register(name, source, replace=replace)


def source_of(data: str) -> DataSource:
    """The source that `data` names; ConfigError where there is none, or a place is missing or too many,
    DatasetNotFoundError for arrays that were in memory."""
    spec = DataSpec(data)
    if spec.name not in DATA_SOURCES:
        if data == ARRAYS:
            raise DatasetNotFoundError(
                "the data were arrays in memory, which are in no file",
                hint="give dataset=..., or --data npz:mine.npz after thumbnet.save_dataset(dataset, 'mine.npz')",
            )
        raise ConfigError(
            f"unknown data {data!r}", hint=f"{did_you_mean(spec.name, DATA_SOURCES)}choose {data_choices()}"
        )
    source = DATA_SOURCES[spec.name]
    if not isinstance(source, DataSource):
        raise ConfigError(
            f"the data source {spec.name!r} is {type(source).__name__}", hint="its entry point must name a DataSource"
        )
    if bool(spec.place) != bool(source.place) or (":" in data and not source.place):
        expected = f"{spec.name}:{source.place}" if source.place else spec.name
        raise ConfigError(f"data is {data!r}", hint=f"give {expected}")
    return source


def source_name(data: str) -> str:
    """`data` as `Source.name` has it: the paths of folders and files are whole. Of an unknown source, unchanged."""
    spec = DataSpec(data)
    if not spec.place or spec.name not in DATA_SOURCES or not DATA_SOURCES[spec.name].is_path:
        return data
    return f"{spec.name}:{spec.path.resolve()}"


def obeys(data: str, argument: str) -> bool:
    """Whether a data source obeys one of ARGUMENTS; False for an unknown source."""
    name = DataSpec(data).name
    return name in DATA_SOURCES and argument in DATA_SOURCES[name].obeys


def val_fraction_of(data: str) -> float | None:
    """What a data source states for `val_fraction = "auto"`; None for one that states nothing, or is unknown."""
    name = DataSpec(data).name
    return DATA_SOURCES[name].val_fraction if name in DATA_SOURCES else None


def is_searched_for_leaks(data: str) -> bool:
    """Whether images of this source are compared across splits before a training; also those of an unknown source."""
    name = DataSpec(data).name
    return name not in DATA_SOURCES or DATA_SOURCES[name].search_leaks


def fit_for(data: str, fit: Fit) -> Fit:
    """How a source is to fit pictures for a model trained with `fit`: likewise, unless its images stay as they are."""
    return fit if obeys(data, "image_shape") else "crop"


def data_choices() -> str:
    """What `data` may be, for people: "auto, cifar10, ..., folder:PATH or npz:FILE"."""
    *most, last = (f"{name}:{source.place}" if source.place else name for name, source in DATA_SOURCES.items())
    return f"{', '.join(most)} or {last}"


@contextmanager
def keeping_sources(kept: dict[str, SourceSplits] | None = None) -> Iterator[Mapping[str, SourceSplits]]:
    """While this lasts, what was read is kept, in `kept` if that is given, and is not read again: for several
    trainings on the same. Splits that `kept` has as GIVEN are taken wherever their source is asked for."""
    kept = {} if kept is None else kept
    token = _KEPT.set(kept)
    try:
        yield kept
    finally:
        _KEPT.reset(token)


def last_kept_source() -> SourceSplits:
    """The source that was read last while they are kept."""
    kept = _KEPT.get()
    assert kept, "nothing is kept"
    return list(kept.values())[-1]


def read_source(spec: DataSpec, options: ReadOptions) -> SourceSplits:
    """The splits that a source defines.

    Raises:
        ConfigError: an unknown source, or an argument that it does not obey.
        DataError: it cannot be read, or its splits are not as `SourceSplits` says.
    """
    kept = _KEPT.get()
    if kept is None:
        return _read_source(spec, options)
    given = kept.get(GIVEN)
    if given is not None and given.source.name == source_name(spec.data):
        return given
    labels = labels_from(spec.path, options.labels) if spec.name == "folder" else options.labels
    how = replace(options, show_progress=False, labels=labels, division=Division(), val_fraction=None)  # how it is read
    key = repr((source_name(spec.data), spec.data_dir, spec.allow_unverified, how))
    if key not in kept:
        kept[key] = replace(_read_source(spec, options), owns_images=False)
    return kept[key]


def _read_source(spec: DataSpec, options: ReadOptions) -> SourceSplits:
    source = source_of(spec.data)
    given: dict[str, Any] = {
        "data_dir": None if spec.data_dir is None else str(spec.data_dir),
        "allow_unverified": spec.allow_unverified,
        "skip_unreadable": options.skip_unreadable,
        "labels": options.labels if options.labels == "file" else None,
    }
    for name, value in given.items():
        is_answered = name in source.obeys or (spec.name == PACK and name in MADE_WITH)
        if value not in (None, False) and not is_answered:
            raise ConfigError(
                f"{name} is {value!r}, but {spec.data} {ADVICE[name]}",
                hint=f"leave {name} out"
                if name in ("skip_unreadable", "labels")
                else f"leave {name} out (--{name.replace('_', '-')})",
            )
    _check_shape(source, spec, options)
    splits = source.read(spec, options)
    if not isinstance(splits, SourceSplits):
        raise DataError(f"the source of {spec.data} gives {type(splits).__name__}", hint="it must return SourceSplits")
    check_splits(splits, spec.data)
    height, width = splits.train.images.shape[2:]
    wanted = options.wanted_sides
    if "image_size" not in source.obeys and wanted not in ("auto", (IMAGE_SIZE, IMAGE_SIZE), (height, width)):
        assert isinstance(wanted, tuple)
        own = f"{height}" if height == width else f"{width}x{height}"
        raise ConfigError(
            f"image_size is {_as_given(wanted)}, but the images of {spec.data} have {own} pixels and are not resized",
            hint=f"leave image_size out, or set it to {_as_given((height, width))}",
        )
    if spec.name == "auto":  # it may be another source's
        return splits
    fit = options.fit if "image_shape" in source.obeys else splits.fit
    return replace(splits, fit=fit, source=replace(splits.source, name=source_name(spec.data)))


def _check_shape(source: DataSource, spec: DataSpec, options: ReadOptions) -> None:
    """ConfigError where a source is to give what it cannot: pictures that are not square, or letterboxed."""
    if "image_shape" in source.obeys:
        return
    if options.fit != "crop" and spec.name != PACK:  # which refuses it unless it was made so
        how = "gives its own pictures" if "image_size" in source.obeys else "is not resized"
        raise ConfigError(f"fit is {options.fit!r}, but {spec.data} {how}", hint="leave fit out")
    if "image_size" in source.obeys and isinstance(options.shape, tuple) and len(set(options.shape)) > 1:
        raise ConfigError(
            f"image_size is {list(options.shape)}, but {spec.data} gives squares", hint="give one side in pixels"
        )


def _as_given(sides: Sides) -> str:
    """A height and a width as `image_size` has them."""
    size = as_image_size(sides)
    return str(size if isinstance(size, int) else list(size))
