"""manifest.json of a pack: what its arrays hold, with checksums. It is written last: where it is, all is there.

    manifest.json
    train-images.npy   uint8 [N,C,H,W]      train-labels.npy   int64 [N], or uint8 [N,K] of several labels
    train-paths.json   where there are paths
    (likewise val- and test-)               groups.csv         where the folder had one

The checksum of the manifest itself stands in it; those of the images are of parts of some hundred images.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import thumbnet
from thumbnet.atomic import write_atomically
from thumbnet.data.picture_sides import PictureSides
from thumbnet.errors import DataError, DatasetNotFoundError, RunError
from thumbnet.specs.data import LabelsFrom
from thumbnet.specs.json_text import FORMAT, read_object
from thumbnet.specs.sizes import Fit
from thumbnet.specs.typed import from_fields

MANIFEST = "manifest.json"
KNOWN_FORMAT = 1
CHECKSUM = "sha256"
HINT = "pack the data again: thumbnet data pack"


@dataclass(frozen=True)
class StoredSplit:
    """A split's images: their shape, the checksum of each part (first image, the one after the last, SHA-256), and the
    checksums of the files with labels and, if there are any, paths."""

    shape: tuple[int, int, int, int]
    parts: tuple[tuple[int, int, str], ...]
    labels_sha256: str
    paths_sha256: str | None = None


@dataclass(frozen=True)
class StoredSource:
    """Where the images came from, as `Source` has it."""

    name: str
    description: str
    remarks: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()


@dataclass(frozen=True)
class Manifest:
    """What a pack holds; `reader` is the READER_VERSION that its pictures were decoded with, `picture_sides` the sizes
    that they had before, where they are of files and it is known."""

    source: StoredSource
    class_names: tuple[str, ...]
    splits: Mapping[str, StoredSplit]
    flip_keeps_labels: bool
    reader: int
    fit: Fit = "crop"
    labels_from: LabelsFrom = "folders"
    white_levels: Mapping[str, float] = field(default_factory=dict)
    made_by: str = thumbnet.__version__
    picture_sides: PictureSides | None = None

    @property
    def num_images(self) -> int:
        """Of all splits."""
        return sum(split.shape[0] for split in self.splits.values())

    @property
    def num_bytes(self) -> int:
        """Of the images of all splits."""
        return sum(split.shape[0] * split.shape[1] * split.shape[2] * split.shape[3] for split in self.splits.values())

    def signature(self) -> str:
        """The same for equal images in equal splits, whatever their labels."""
        rows = {name: (split.shape, split.parts) for name, split in self.splits.items()}
        return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Put it in the folder, whole or not at all."""
    values = {FORMAT: KNOWN_FORMAT, **asdict(manifest)}
    content = json.dumps({**values, CHECKSUM: _digest(values)}, indent=1)
    write_atomically(folder / MANIFEST, content)


def read_manifest(folder: Path) -> Manifest:
    """That of a pack.

    Raises:
        DatasetNotFoundError: there is no such folder, or it is no pack.
        DataError: the manifest is damaged, or of a later version.
    """
    path = folder / MANIFEST
    try:
        content = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError) as error:
        what = f"{folder} is no pack: it has no {MANIFEST}" if folder.is_dir() else f"there is no folder {folder}"
        raise DatasetNotFoundError(what, hint="`thumbnet data pack folder:PATH --out DIR` writes one") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}", hint="check its permissions") from error
    try:
        values = read_object(content, name=str(path), known_format=KNOWN_FORMAT, hint=HINT)
        checksum = values.pop(CHECKSUM, None)
        if checksum != _digest(values):
            raise DataError(f"{path} is damaged: its checksum is not that of its content", hint=HINT)
        manifest = from_fields(Manifest, values, name=str(path), hint=HINT)
    except RunError as error:
        raise DataError(error.message, hint=error.hint) from error
    _check(manifest, path)
    return manifest


def _check(manifest: Manifest, path: Path) -> None:
    """DataError where splits are missing, or parts do not cover them."""
    problem = ""
    if len(set(manifest.class_names)) < max(len(manifest.class_names), 2):
        problem = "its class names are less than two, or one is there twice"
    if "train" not in manifest.splits or not set(manifest.splits) <= {"train", "val", "test"}:
        problem = f"its splits are {', '.join(sorted(manifest.splits)) or 'none'}"
    for name, split in manifest.splits.items():
        first = 0
        for start, end, _ in split.parts:
            if start != first or end <= start:
                problem = f"its parts of {name} do not follow each other"
            first = end
        if first != split.shape[0] or min(split.shape) < 1:
            problem = f"its parts of {name} are not all images"
        elif split.shape[1] not in (1, 3):
            problem = f"its images of {name} have {split.shape[1]} channels"
    if problem:
        raise DataError(f"{path} is damaged: {problem}", hint=HINT)


def _digest(values: Mapping[str, object]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
