"""What was found of the images of a pack, kept beside them: checksums of a dataset, leaks between its splits.

A result is of certain rows with certain labels: its file's name has their digest.
"""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from thumbnet.atomic import write_atomically

RESULTS = "results"  # in the folder of the pack


@dataclass(frozen=True)
class Origin:
    """Where images are from: the folder of a pack, and which rows of it, as a text: those of one split, in order."""

    folder: Path
    rows: str

    def followed_by(self, other: Origin) -> Origin:
        """That of the images of both, one after the other."""
        return Origin(self.folder, f"{self.rows}+{other.rows}")


@dataclass(frozen=True)
class KeptResults:
    """The results that a pack keeps of one division of its images."""

    folder: Path
    digest: str

    def recall(self, name: str) -> str | None:
        """A result that was kept; None where there is none that is whole."""
        try:
            values = json.loads(self._path(name).read_bytes())
            text = values["text"]
            is_right = isinstance(text, str) and values["sha256"] == _sha256(text)
        except (OSError, ValueError, TypeError, KeyError, RecursionError):
            return None
        return text if is_right else None

    def keep(self, name: str, text: str) -> None:
        """Keep a result, where the folder can be written."""
        with suppress(OSError):
            self._path(name).parent.mkdir(exist_ok=True)
            write_atomically(self._path(name), json.dumps({"sha256": _sha256(text), "text": text}))

    def _path(self, name: str) -> Path:
        return self.folder / RESULTS / f"{name}-{self.digest[:32]}.json"


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
