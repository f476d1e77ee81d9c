"""The data that a run was trained on, wherever it is now."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from thumbnet.data.dataset import Dataset
from thumbnet.data.labels_file import labels_from
from thumbnet.data.source_registry import obeys
from thumbnet.errors import ConfigError, DataError, RunError
from thumbnet.runs.run import Run, RunDir
from thumbnet.specs.data import DataSpec
from thumbnet.specs.division import Division


@dataclass(frozen=True)
class DataPlace:
    """Where a run's data is now, as in `Run.load_dataset`; what is None is as the run recorded it. A `dataset`
    is that data, read before."""

    data: str | None = None
    data_dir: str | Path | None = None
    allow_unverified: bool | None = None
    dataset: Dataset | None = None

    def __post_init__(self) -> None:
        if self.dataset is not None and (self.data, self.data_dir, self.allow_unverified) != (None, None, None):
            raise ConfigError(
                "dataset is given, and data, data_dir or allow_unverified besides",
                hint="give either the dataset, or where it is",
            )

    def load(self, run: Run, *, is_own: bool | None = None) -> Dataset:
        """The data there, with the run's mean and std."""
        if self.dataset is not None:
            return run.prepared(self.dataset)
        return run.load_dataset(
            self.data, data_dir=self.data_dir, allow_unverified=self.allow_unverified, is_own=is_own
        )


def load_own_dataset(run: Run, place: DataPlace = DataPlace()) -> Dataset:
    """The run's data, surely that which it was trained and scored on; its note says if it stands in for other data, its
    remarks also how the training began."""
    dataset = place.load(run, is_own=True)
    if dataset.checksum() != run.card.data_checksum:
        raise RunError(
            f"the images of {dataset.source.name} are not those that {run.path} was trained and scored on: "
            "their checksum differs",
            hint="say where its own data is now, with --data or --data-dir; a folder must hold the same files as then"
            if place.dataset is None
            else "give the dataset that it was trained on",
        )
    return dataset.with_note(run.card.data_note).with_remark(*RunDir(run.path).training_remarks())


def load_named_dataset(run: Run, data: str, place: DataPlace = DataPlace()) -> tuple[Dataset, bool]:
    """Data by its name, and whether it is the run's own after all: in another place, perhaps."""
    place = replace(place, data=data)
    own = _own_if_it_is(run, place) if _has_other_labels(run, data) else None  # before they are refused
    if own is not None:
        return own, True
    dataset = place.load(run)
    if dataset.checksum() == run.card.data_checksum:
        return dataset, True
    is_whole = run.config.exclude is None and run.config.num_train is None
    if is_whole and run.config.division == Division():
        return dataset, False
    own = _own_if_it_is(run, place)
    return (dataset, False) if own is None else (own, True)


def _has_other_labels(run: Run, data: str) -> bool:
    """Whether a folder's labels would be read elsewhere than the run read its own: in labels.csv, or not there."""
    labels = run.config.labels
    return labels != "auto" and obeys(data, "labels") and labels_from(DataSpec(data).path, "auto") != labels


def _own_if_it_is(run: Run, place: DataPlace) -> Dataset | None:
    """The data in this place if it is the run's own: equal to it when read, divided, and images left out, as the run
    did."""
    try:
        own = place.load(run, is_own=True)
    except (DataError, RunError):
        return None
    return own if own.checksum() == run.card.data_checksum else None
