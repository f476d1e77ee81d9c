"""A set as folders: split/{train,test}/CLASS, and for tuning tune/{train,test}/CLASS, all out of split/train."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int64

from own_pictures.pictures import Drawn, divided

MANIFEST = "manifest.json"  # written last: the set is whole
UNEQUAL_BELOW = 0.5  # of the largest class: if the smallest is below that, balanced accuracy is what counts
TUNE_SALT = "tune"


@dataclass(frozen=True)
class Part:
    """The pictures of one side of a split, in the order of their paths below `folder`."""

    folder: Path
    paths: tuple[str, ...]
    class_names: tuple[str, ...]

    @classmethod
    def of(cls, folder: Path) -> Part:
        paths = sorted(path.relative_to(folder).as_posix() for path in folder.glob("*/*"))
        return cls(folder, tuple(paths), tuple(sorted({path.partition("/")[0] for path in paths})))

    @property
    def files(self) -> list[Path]:
        return [self.folder / path for path in self.paths]

    @cached_property
    def labels(self) -> Int64[np.ndarray, " n"]:
        number_of = {name: number for number, name in enumerate(self.class_names)}
        return np.array([number_of[path.partition("/")[0]] for path in self.paths], np.int64)


@dataclass(frozen=True)
class MadeSet:
    """A set that is on disk: `folder` has split/, tune/ and the manifest."""

    folder: Path
    manifest: dict[str, Any]

    def side(self, purpose: str) -> Path:
        """The folder with train/ and test/: `split`, or `tune`, whose pictures are all of split/train."""
        return self.folder / purpose

    def is_unequal(self) -> bool:
        """Whether the smallest class of the training pictures has less than half of the largest one's."""
        counts = self.manifest["train"].values()
        return min(counts) < UNEQUAL_BELOW * max(counts)


def make_set(folder: Path, pictures: Iterable[Drawn]) -> MadeSet:
    """Write a set's pictures, once: one that is whole is read, one that was stopped is begun anew."""
    made = read_set(folder)
    if made is not None:
        return made
    shutil.rmtree(folder, ignore_errors=True)
    parts = divided(pictures)
    digest = hashlib.sha256()
    for name, part in parts.items():
        for drawn in part:
            _write(folder / "split" / name / drawn.path, drawn.content)
            digest.update(f"{name}/{drawn.path}\0{hashlib.sha256(drawn.content).hexdigest()}\n".encode())
    own = [Drawn(each.class_name, each.name, b"", each.group) for each in parts["train"]]
    for name, part in divided(own, salt=TUNE_SALT).items():
        for drawn in part:
            _link(folder / "split" / "train" / drawn.path, folder / "tune" / name / drawn.path)
    counts = {name: _counts(part) for name, part in parts.items()}
    manifest = {"sha256": digest.hexdigest(), **counts}
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n")
    return MadeSet(folder, manifest)


def read_set(folder: Path) -> MadeSet | None:
    """A set that was made before; None where it was not, or not to its end."""
    file = folder / MANIFEST
    return MadeSet(folder, json.loads(file.read_text())) if file.exists() else None


def _counts(part: list[Drawn]) -> dict[str, int]:
    return dict(sorted(Counter(drawn.class_name for drawn in part).items()))


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def _link(original: Path, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    os.link(original, path)
