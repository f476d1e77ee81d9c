"""All that is wrong with a folder of pictures, or with a table of them, in one error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from thumbnet.data.unreadable import NUM_NAMED, unreadable_error
from thumbnet.errors import DataError, ImageError


def faulty_table(file: Path, faults: Sequence[str], *, hint: str) -> DataError:
    """All that is wrong with the lines of a table, in one error."""
    if len(faults) == 1:
        return DataError(f"{file}, {faults[0]}", hint=hint)
    lines = [f"  {fault}" for fault in faults[:NUM_NAMED]]
    if len(faults) > NUM_NAMED:
        lines.append(f"  ... and {len(faults) - NUM_NAMED:,} more")
    return DataError("\n".join([f"{file} has {len(faults):,} faults:", *lines]), hint=hint)


@dataclass
class FolderFaults:
    """Collects faults, so that a user mends them all at once.

    What is wrong with the folders comes first, in the order in which it was found, and then the files that cannot be
    read. A single fault is raised as the very error that was added.
    """

    _errors: list[DataError] = field(default_factory=list)
    _places: list[Path] = field(default_factory=list)
    _unreadable: ImageError | None = None
    _unreadable_files: Sequence[ImageError] = ()

    def add(self, error: DataError, *, place: Path | None = None) -> None:
        """Note a fault; `place` is the folder that could not be listed completely because of it."""
        self._errors.append(error)
        if place is not None:
            self._places.append(place)

    def add_unreadable(self, errors: Sequence[ImageError], num_files: int, *, hint: str) -> None:
        """Note the files, of `num_files`, that cannot be read as pictures."""
        self._unreadable = unreadable_error(errors, num_files, hint=hint)
        self._unreadable_files = errors

    def has_place_in(self, folder: Path) -> bool:
        """Whether `folder`, or one inside it, could not be listed completely: what seems to be missing may be there."""
        return any(place.is_relative_to(folder) for place in self._places)

    def raise_all(self, path: Path) -> None:
        """Raise what was noted, if anything was; `path` is the folder's name in the message."""
        if not self._errors:
            if self._unreadable is not None:
                raise self._unreadable
            return
        if len(self._errors) == 1 and self._unreadable is None:
            raise self._errors[0]
        messages = [error.message for error in (*self._errors, *self._unreadable_files)]
        lines = [f"  {message}" for message in messages[:NUM_NAMED]]
        if len(messages) > NUM_NAMED:
            lines.append(f"  ... and {len(messages) - NUM_NAMED:,} more")
        raised = [*self._errors, *([] if self._unreadable is None else [self._unreadable])]
        hints = dict.fromkeys(error.hint for error in raised if error.hint)
        raise DataError(
            "\n".join([f"{len(messages):,} faults in the folder {path}:", *lines]),
            hint="; ".join(hints),
        )
