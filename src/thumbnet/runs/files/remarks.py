"""remarks.json: what is to be said of how a training began, and that its data read again does not tell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from thumbnet.specs.typed import from_fields

REMARKS_FORMAT = 1


@dataclass(frozen=True)
class TrainingRemarks:
    """Sentences for people, such as that filters for colour were summed for grey images."""

    remarks: tuple[str, ...]


def remarks_from_dict(values: Mapping[str, object], *, name: str) -> tuple[str, ...]:
    """The sentences; RunError, which names the file `name`, where it is none of this kind."""
    return from_fields(TrainingRemarks, values, name=name).remarks
