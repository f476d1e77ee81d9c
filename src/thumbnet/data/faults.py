"""All that is wrong with a folder of pictures, or with a table of them, in one error."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
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
    read. A single fault is raised as the very error that was added. Of very many, some of every kind are named; faults
    are of one kind where they have one hint.
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

    def add_table(self, place: Path, faults: Iterable[str], *, hint: str) -> None:
        """Note what is wrong with the lines of a table, or with what else has a `place`: each is a fault of its own."""
        for fault in faults:
            self.add(DataError(f"{place}, {fault}", hint=hint))

    def add_unreadable(self, errors: Sequence[ImageError], num_files: int, *, hint: str) -> None:
        """Note the files, of `num_files`, that cannot be read as pictures."""
        self._unreadable = unreadable_error(errors, num_files, hint=hint)
        self._unreadable_files = errors

    @property
    def are_found(self) -> bool:
        """Whether anything was noted."""
        return bool(self._errors) or self._unreadable is not None

    def has_place_in(self, folder: Path) -> bool:
        """Whether `folder`, or one inside it, could not be listed completely: what seems to be missing may be there."""
        return any(place.is_relative_to(folder) for place in self._places)

    def hides(self, file: Path) -> bool:
        """Whether `file` would lie in a folder that could not be listed completely, so that it may be there."""
        return any(file.is_relative_to(place) for place in self._places)

    def raise_all(self, path: Path) -> None:
        """Raise what was noted, if anything was; `path` is the folder's name in the message."""
        if self.are_found:
            raise self.as_error(path)

    def as_error(self, path: Path) -> DataError:
        """What was noted, at least one fault, as one error."""
        if self._unreadable is None:
            if len(self._errors) == 1:
                return self._errors[0]
        elif not self._errors:
            return self._unreadable
        faults = [(error.hint, error.message) for error in self._errors]
        if self._unreadable is not None:
            faults += [(self._unreadable.hint, error.message) for error in self._unreadable_files]
        hints = dict.fromkeys(hint for hint, _ in faults if hint)
        lines = [f"{len(faults):,} faults in the folder {path}:", *_lines(faults)]
        return DataError("\n".join(lines), hint="; ".join(hints))


def _lines(faults: Sequence[tuple[str, str]]) -> list[str]:
    """A line for each of the first NUM_NAMED messages, each of which stands behind its kind, and for how many more
    there are. Many of one kind leave room for those of others."""
    kinds = Counter(kind for kind, _ in faults).most_common()
    shares: dict[str, int] = {}
    for num_shared, (kind, number) in enumerate(reversed(kinds)):
        room = NUM_NAMED - sum(shares.values())
        shares[kind] = min(number, room // (len(kinds) - num_shared))
    lines = []
    for kind, message in faults:
        if shares[kind]:
            shares[kind] -= 1
            lines.append(f"  {message}")
    if len(faults) > len(lines):
        lines.append(f"  ... and {len(faults) - len(lines):,} more")
    return lines
