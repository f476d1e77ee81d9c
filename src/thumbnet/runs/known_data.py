"""Fingerprint of the data that a run was started on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from thumbnet.data.dataset import Dataset
from thumbnet.data.folder_layout import normalised_name
from thumbnet.errors import CheckpointError


@dataclass(frozen=True)
class KnownData:
    """What tells whether data is that of a run: the checksum of its images and labels, and its class names."""

    checksum: str
    class_names: tuple[str, ...]

    @classmethod
    def of(cls, dataset: Dataset) -> KnownData:
        return cls(dataset.checksum(), dataset.class_names)

    def check(self, dataset: Dataset, *, run_dir: Path) -> None:
        """CheckpointError if the dataset is not the one on which the run in `run_dir` was started."""
        difference = ""
        if dataset.checksum() != self.checksum:
            difference = "the checksum of its images and labels differs"
        elif dataset.class_names != tuple(map(normalised_name, self.class_names)):
            difference = f"its classes were {', '.join(self.class_names)}, not {', '.join(dataset.class_names)}"
        if difference:
            raise CheckpointError(
                f"{run_dir} was started on other data: {difference}",
                hint="go on with the data that it was started on (--data, --data-dir)",
            )


@dataclass(frozen=True)
class Sibling:
    """A finished run in this folder, or runs that are begun in it, whose data another one's must equal."""

    path: Path
    known_data: KnownData
