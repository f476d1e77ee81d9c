"""Data packed into a folder to keep or to copy: decoded once, checksummed, read without decoding.

thumbnet.pack_data("folder:pets", "pets-pack", image_size=64)
thumbnet.load_dataset("packed:pets-pack")
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from thumbnet.data.class_counts import ClassCounts, class_sizes, class_table
from thumbnet.data.copying import copy_file
from thumbnet.data.dataset import SPLIT_NAMES, Split
from thumbnet.data.groups import GROUPS_FILE
from thumbnet.data.originals import sides_of_files
from thumbnet.data.packs.build import build_pictures, facts_of_request
from thumbnet.data.packs.cache import how_read
from thumbnet.data.packs.listing import DONE, FACTS_FILE, LISTING
from thumbnet.data.packs.manifest import Manifest, read_manifest
from thumbnet.data.packs.place import LOCK_SUFFIX, locked
from thumbnet.data.packs.row_file import RowFile
from thumbnet.data.packs.rows import EARLIER_SUFFIX, Build, PartDigests
from thumbnet.data.packs.store import note_verified, write_images, write_the_rest
from thumbnet.data.picture_request import PictureRequest, Pictures
from thumbnet.data.picture_sides import PictureSides
from thumbnet.data.reading import reading_pictures_by
from thumbnet.data.source_registry import read_source
from thumbnet.data.source_splits import SourceSplits
from thumbnet.errors import ConfigError, DataError
from thumbnet.specs.data import IMAGE_SIZE, PICTURE_SOURCES, DataSpec, Labels, ReadOptions, expanded
from thumbnet.specs.sizes import Fit, ImageSize, check_fit, check_image_size
from thumbnet.terminal.streams import tell

PACKING_SUFFIX = ".packing"  # of the hidden folder in which a pack is made


@dataclass(frozen=True)
class PackedData:
    """Where a pack is, what it was made of, how many images of each class are in each split, their shape (channels,
    height, width), the bytes of all images, sentences for people, and the sizes that the pictures had as files, if they
    were; `str(packed)` is the table."""

    path: Path
    source: str
    counts: ClassCounts
    image_shape: tuple[int, int, int]
    num_images: int
    num_bytes: int
    remarks: tuple[str, ...] = ()
    picture_sides: PictureSides | None = None

    def __str__(self) -> str:
        return class_table(self.counts)

    def to_dict(self) -> dict[str, Any]:
        """Values for JSON."""
        return {**asdict(self), "path": str(self.path)}


def pack_data(
    data: str,
    out: str | Path,
    *,
    data_dir: str | Path | None = None,
    allow_unverified: bool = False,
    image_size: ImageSize = IMAGE_SIZE,
    fit: Fit = "crop",
    skip_unreadable: bool = False,
    labels: Labels = "auto",
    show_progress: bool = True,
) -> PackedData:
    """Decode data into a folder that `packed:DIR` reads: the splits of its source, before images are held out.

    Until all is done, the pack is made in a hidden folder beside `out`, in which the same call goes on after it was
    stopped. Pictures of a folder are never all in memory. A groups.csv of the folder is copied.

    Args:
        out: a new or empty folder, outside a folder of pictures.
        data, data_dir, allow_unverified, image_size, fit, skip_unreadable, labels, show_progress: as in `load_dataset`.

    Raises:
        ConfigError: `out` is not empty, or lies in the folder of the pictures; or as `load_dataset`.
        DataError: as `load_dataset`; or `out` cannot be written.
    """
    check_image_size(image_size)
    check_fit(fit)
    spec, target = DataSpec(data, data_dir, allow_unverified), expanded(out)
    target = Path(os.path.abspath(target))  # noqa: PTH100  # links in its path stay
    options = ReadOptions.sized(
        image_size, fit=fit, skip_unreadable=skip_unreadable, labels=labels, show_progress=show_progress
    )
    _check_target(spec, target)
    folder = target.with_name(f".{target.name}{PACKING_SUFFIX}")
    lock = target.with_name(f".{target.name}{LOCK_SUFFIX}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with locked(lock, waits=partial(_tell_of_waiting, target, show=show_progress)):
            _check_target(spec, target)
            packed = _pack(spec, options, folder, target)
            lock.unlink(missing_ok=True)
    except OSError as error:
        raise DataError(
            f"{target} cannot be written: {error.strerror or error}",
            hint="name a folder that you may write, on a disk with room; what was decoded is kept for the same command",
        ) from error
    return packed


def _tell_of_waiting(target: Path, *, show: bool) -> None:
    if show:
        tell(f"Another process writes {target}: waiting for it.")


def _check_target(spec: DataSpec, target: Path) -> None:
    hint = "name a new folder elsewhere with --out"
    if spec.name in PICTURE_SOURCES and target.resolve().is_relative_to(spec.path.resolve()):
        raise ConfigError(f"{target} lies inside the data {spec.path}", hint=hint)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise ConfigError(f"{target} is not empty" if target.is_dir() else f"{target} is a file", hint=hint)


def _pack(spec: DataSpec, options: ReadOptions, folder: Path, target: Path) -> PackedData:
    builds: list[Build] = []

    def read(request: PictureRequest) -> Pictures:
        build, pictures = build_pictures(request, how_read(request), folder, facts=facts_of_request(request))
        builds.append(build)
        return pictures

    with reading_pictures_by(read):
        splits = read_source(spec, options)
    parts: Mapping[str, PartDigests]
    if builds:
        parts, files = builds[0].digests(), builds[0].files
        sides = sides_of_files(builds[0].request.files)
    else:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        parts, files = _write_images(folder, splits)
        sides = read_manifest(spec.path).picture_sides if spec.name == "packed" else None
    manifest = write_the_rest(folder, splits, parts, picture_sides=sides)
    for name in (LISTING, FACTS_FILE, DONE):
        (folder / name).unlink(missing_ok=True)
    (folder / GROUPS_FILE).unlink(missing_ok=True)
    if spec.name in PICTURE_SOURCES and (spec.path / GROUPS_FILE).is_file():
        copy_file(spec.path / GROUPS_FILE, folder / GROUPS_FILE)
    note_verified(folder, files)
    shutil.rmtree(folder.with_name(folder.name + EARLIER_SUFFIX), ignore_errors=True)
    if target.exists():
        target.rmdir()
    folder.rename(target)
    return _described(target, splits, manifest)


def _write_images(folder: Path, splits: SourceSplits) -> tuple[dict[str, PartDigests], dict[str, RowFile]]:
    """Write images that are in memory, or on the disk elsewhere."""
    parts: dict[str, PartDigests] = {}
    files: dict[str, RowFile] = {}
    for name in SPLIT_NAMES:
        split: Split | None = getattr(splits, name)
        if split is not None:
            files[name], parts[name] = write_images(folder, name, split.images)
    return parts, files


def _described(target: Path, splits: SourceSplits, manifest: Manifest) -> PackedData:
    sizes = {
        name: class_sizes(split.labels, len(splits.class_names))
        for name in SPLIT_NAMES
        if (split := getattr(splits, name)) is not None
    }
    _, channels, height, width = manifest.splits["train"].shape
    return PackedData(
        path=target,
        source=splits.source.name,
        counts={
            class_name: {name: of_split[label] for name, of_split in sizes.items()}
            for label, class_name in enumerate(splits.class_names)
        },
        image_shape=(channels, height, width),
        num_images=manifest.num_images,
        num_bytes=manifest.num_bytes,
        remarks=splits.source.remarks,
        picture_sides=manifest.picture_sides,
    )
