"""The data that a run was trained on, wherever it is now."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from thumbnet.data.dataset import Dataset
from thumbnet.errors import DataError, RunError
from thumbnet.runs.run import Run


def load_own_dataset(run: Run, source: Mapping[str, Any]) -> Dataset:
    """The run's data, surely that which it was trained and scored on; its note says if it stands in for other data."""
    dataset = run.load_dataset(**source, is_own=True)
    if dataset.checksum() != run.card.data_checksum:
        raise RunError(
            f"the images of {dataset.source.name} are not those that {run.path} was trained and scored on: "
            "their checksum differs",
            hint="say where its own data is now, with --data or --data-dir; a folder must hold the same files as then",
        )
    return dataset.with_note(run.card.data_note)


def load_named_dataset(run: Run, data: str, source: Mapping[str, Any]) -> tuple[Dataset, bool]:
    """Data by its name, and whether it is the run's own after all: in another place, perhaps."""
    dataset = run.load_dataset(data, **source)
    if dataset.checksum() == run.card.data_checksum:
        return dataset, True
    if run.config.exclude is None:
        return dataset, False
    try:  # what the run left out tells its own data
        own = run.load_dataset(data, **source, is_own=True)
    except DataError:
        return dataset, False
    is_own = own.checksum() == run.card.data_checksum
    return own if is_own else dataset, is_own
