"""Readers of packs: the manifest, labels, paths, images and results, with the checksums of what they hold now."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np

from thumbnet.data.leaks import find_leaks
from thumbnet.data.packs.file_entries import FILE, _is_of
from thumbnet.data.packs.kept import KeptResults
from thumbnet.data.packs.listing import images_file
from thumbnet.data.packs.manifest import CHECKSUM, MANIFEST, _digest, read_manifest, write_manifest
from thumbnet.data.packs.pack import pack_data
from thumbnet.data.packs.packed import read_packed
from thumbnet.data.packs.row_file import RowFile
from thumbnet.data.packs.store import VERIFIED, _labels_file, _paths_file, check_images
from thumbnet.data.sources import load_dataset
from trust.data_readers import folder_of_pictures
from trust.reader import Reader, put, read_with

TRAIN = "train"


def readers_of_packs(place: Path) -> dict[str, Reader]:
    """The readers by name; `place` is a folder to work in."""
    pack = place / "pack"
    pack_data(f"folder:{folder_of_pictures(place / 'packed')}", pack, image_size=8)
    manifest = read_manifest(pack)
    dataset = load_dataset(f"packed:{pack}", val_fraction=0.2)
    kept = dataset.kept_results()
    assert kept is not None
    find_leaks(dataset)
    (found,) = kept.folder.joinpath("results").glob("leaks-*.json")
    shape, images = manifest.splits[TRAIN].shape, pack / images_file(TRAIN)

    def signed(name: str, field: str) -> Callable[[bytes], None]:
        """Reads the pack with another file, whose checksum the manifest has."""

        def read(content: bytes) -> None:
            split = replace(manifest.splits[TRAIN], **{field: hashlib.sha256(content).hexdigest()})
            write_manifest(pack, replace(manifest, splits={**manifest.splits, TRAIN: split}))
            try:
                read_with(pack / name, content, lambda: read_packed(pack, show_progress=False))
            finally:
                write_manifest(pack, manifest)

        return read

    def leaks(content: bytes) -> None:
        text = content.decode(errors="replace")
        values = {"sha256": hashlib.sha256(text.encode()).hexdigest(), "text": text}
        read_with(found, json.dumps(values).encode(), lambda: find_leaks(dataset))

    several = io.BytesIO()
    np.save(several, np.ones((shape[0], 2), np.uint8))
    labels, paths = _labels_file(TRAIN), _paths_file(TRAIN)
    results = KeptResults(pack, "0" * 32)
    results.keep("name", "text")
    result = results._path("name")
    return {
        "manifest": Reader(
            [(pack / MANIFEST).read_bytes()],
            lambda content: read_with(
                pack / MANIFEST, with_its_checksum(content), lambda: read_packed(pack, show_progress=False)
            ),
        ),
        "pack-labels": Reader([(pack / labels).read_bytes(), several.getvalue()], signed(labels, "labels_sha256")),
        "pack-paths": Reader([(pack / paths).read_bytes()], signed(paths, "paths_sha256")),
        "pack-images": Reader(
            [images.read_bytes()], lambda content: read_with(images, content, lambda: RowFile.open(images, shape))
        ),
        "pack-leaks": Reader([json.loads(found.read_text())["text"].encode()], leaks),
        "pack-results": Reader(
            [result.read_bytes()], lambda content: read_with(result, content, lambda: results.recall("name"))
        ),
        "verified.json": Reader(
            [(pack / VERIFIED).read_bytes()],
            lambda content: read_with(
                pack / VERIFIED, content, lambda: check_images(pack, manifest, show_progress=False)
            ),
        ),
        "file.json": Reader([b"[1, 2, 3]"], lambda content: _is_of(put(pack / FILE, content).parent, [1, 2, 3])),
    }


def with_its_checksum(manifest: bytes) -> bytes:
    """A manifest with its checksum, or only that would be looked at."""
    with suppress(ValueError, RecursionError):
        values = json.loads(manifest)
        if isinstance(values, dict):
            values.pop(CHECKSUM, None)
            return json.dumps({**values, CHECKSUM: _digest(values)}).encode()
    return manifest
