"""Datasets that are given in Python in the place of a config's data: whether they are what the config asks for."""

from __future__ import annotations

from collections.abc import Mapping

from thumbnet.config import TrainConfig
from thumbnet.data.dataset import Dataset
from thumbnet.data.exclusion import num_listed
from thumbnet.data.groups import are_same_groups, whole_path
from thumbnet.data.source_registry import GIVEN, obeys, source_name
from thumbnet.data.source_splits import SourceSplits
from thumbnet.data.undivided import undivided
from thumbnet.errors import ConfigError
from thumbnet.specs.at_once import AtOnce
from thumbnet.specs.data import ARRAYS, IMAGE_SIZE, DataSpec
from thumbnet.specs.sizes import as_image_size, as_sides

# What `dataset_from_arrays` does not take, and a file of the same arrays does.
OF_FILES = ("groups", "folds", "fold", "num_train", "exclude")


def check_given(dataset: Dataset, config: TrainConfig) -> None:
    """ConfigError where the dataset is another than the one that the config asks for."""
    wanted: dict[str, object] = {name: getattr(config, name) for name in ("split_seed", "num_train")}
    given: dict[str, object] = {
        name: getattr(dataset, name) for name in ("val_fraction", "val_per_class", "split_seed", "num_train")
    }
    if config.val_fraction != "auto":
        wanted |= {"val_fraction": config.val_fraction, "val_per_class": config.val_per_class or 0}
    for name in ("folds", "fold"):
        wanted[name], given[name] = getattr(config.division, name), getattr(dataset.division, name)
    groups = config.division.groups
    if groups != "auto" and not are_same_groups(groups, dataset.division.groups):
        wanted["groups"], given["groups"] = whole_path(groups), dataset.division.groups
    _refuse_differences(dataset, wanted, given)
    check_given_images(dataset, config)
    if dataset.num_excluded != (0 if config.exclude is None else num_listed(config.exclude)):
        raise ConfigError(
            f"exclude is {config.exclude!r}, but the dataset that was given leaves {dataset.num_excluded} images out",
            hint=_hint(dataset, "exclude"),
        )


def check_given_images(dataset: Dataset, config: TrainConfig) -> None:
    """ConfigError where the images of a dataset are others than the config asks for, however they are divided."""
    wanted: dict[str, object] = {}
    given: dict[str, object] = {}
    if DataSpec(dataset.source.name).name != "packed":  # fitted when it was packed
        wanted["fit"], given["fit"] = config.fit, dataset.fit
    if config.labels != "auto":
        wanted["labels"], given["labels"] = config.labels, dataset.labels_from
    if config.data != "auto":
        wanted["data"], given["data"] = source_name(config.data), dataset.source.name
    if not isinstance(config.image_size, str) and config.image_size != IMAGE_SIZE:
        wanted["image_size"] = as_image_size(as_sides(config.image_size))
        given["image_size"] = as_image_size(dataset.image_shape[1:])
    _refuse_differences(dataset, wanted, given)


def as_it_was_read(config: TrainConfig, dataset: Dataset) -> TrainConfig:
    """The config with how a dataset that was given was read, so that whoever reads the data again by it finds the same
    images: of which size, without the files that cannot be read, from files that are not the official ones."""
    name, source = dataset.source.name, dataset.source
    changes: dict[str, object] = {}
    if obeys(name, "image_size") and config.image_size == IMAGE_SIZE:
        changes["image_size"] = as_image_size(dataset.image_shape[1:])
    if obeys(name, "skip_unreadable") and source.skipped:
        changes["skip_unreadable"] = True
    if obeys(name, "allow_unverified") and source.verified is False:
        changes["allow_unverified"] = True
    return config.replace(**changes) if changes else config


def _refuse_differences(dataset: Dataset, wanted: Mapping[str, object], given: Mapping[str, object]) -> None:
    for name, value in wanted.items():
        if given[name] != value:
            raise ConfigError(
                f"{name} is {value!r}, but the dataset that was given has {given[name]!r}", hint=_hint(dataset, name)
            )


def _hint(dataset: Dataset, name: str) -> str:
    """How to go on where the config asks for another value of this field."""
    if dataset.source.name != ARRAYS:
        return "leave dataset out, or read it with load_dataset as the config says"
    if name in OF_FILES:
        return (
            f"leave {name} out, or write the arrays by numpy.savez('mine.npz', images=..., labels=...) and give data = "
            "npz:mine.npz instead"
        )
    return "leave dataset out, or make it with dataset_from_arrays as the config says"


def kept_source(dataset: Dataset, config: TrainConfig) -> dict[str, SourceSplits]:
    """A dataset that was given, put together again, for `keeping_sources`."""
    check_given_images(dataset, config)
    return {GIVEN: undivided(dataset)}


def refuse_arrays_at_once(dataset: Dataset | None, at_once: AtOnce) -> None:
    """ConfigError where folds of arrays in memory are to be trained at once: each process reads the data itself."""
    if dataset is not None and dataset.source.name == ARRAYS and not at_once.is_one_after_the_other:
        raise ConfigError(
            "folds are to be trained at once, each in a process that reads the data, but the dataset is of arrays",
            hint="write it by thumbnet.save_dataset and give data = npz:FILE, or leave jobs and scheduler out",
        )
