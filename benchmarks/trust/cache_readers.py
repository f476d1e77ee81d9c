"""Readers of the cache of decoded pictures: what an entry says of its files, and what a stopped reading has left."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

from thumbnet.data.folder import read_folder
from thumbnet.data.packs import facts
from thumbnet.data.packs.build import build_pictures, facts_of_request
from thumbnet.data.packs.cache import CacheReader, entry_name, how_read
from thumbnet.data.packs.entries import _entry
from thumbnet.data.packs.listing import DONE, FACTS_FILE, LISTING, seal
from thumbnet.data.packs.manifest import MANIFEST
from thumbnet.data.picture_request import PictureRequest, Pictures
from trust.data_readers import folder_of_pictures
from trust.pack_readers import with_its_checksum
from trust.reader import Reader, read_with

SIDE = 8


def readers_of_the_cache(place: Path) -> dict[str, Reader]:
    """The readers by name; `place` is a folder to work in."""
    folder, cache = folder_of_pictures(place / "cached"), place / "cache"
    cache.mkdir(exist_ok=True)
    requests: list[PictureRequest] = []

    def read_cached() -> None:
        with CacheReader(cache, show_progress=False) as reader:

            def read(request: PictureRequest) -> Pictures:
                requests.append(request)
                return reader(request)

            reader.finished(read_folder(folder, image_size=SIDE, read=read, show_progress=False))

    with patch.object(facts, "RECENT_NS", 0):  # the pictures have just been written
        read_cached()
        known = facts_of_request(requests[0])
    request, how = requests[0], how_read(requests[0])
    entry = cache / entry_name(request)
    whole, begun, building = place / "whole-entry", place / "begun", place / "building"
    shutil.copytree(entry, whole)
    build_pictures(request, how, begun, facts=known.copy())

    def sealed(name: str) -> Callable[[bytes], None]:
        """Reads with another file of the entry, which is sealed as it is."""

        def read(content: bytes) -> None:
            shutil.rmtree(entry, ignore_errors=True)
            shutil.copytree(whole, entry)
            (entry / name).write_bytes(content)
            seal(entry)
            with patch.object(facts, "RECENT_NS", 0):
                read_cached()

        return read

    def going_on(name: str) -> Callable[[bytes], None]:
        """Goes on with a reading that was stopped and has another file."""

        def read(content: bytes) -> None:
            shutil.rmtree(building, ignore_errors=True)
            shutil.copytree(begun, building)
            (building / name).write_bytes(content)
            build_pictures(request, how, building, facts=known.copy())

        return read

    return {
        "cache-listing": Reader([(whole / LISTING).read_bytes()], sealed(LISTING)),
        "cache-facts": Reader([(whole / FACTS_FILE).read_bytes()], sealed(FACTS_FILE)),
        "cache-manifest": Reader(
            [(whole / MANIFEST).read_bytes()],
            lambda content: read_with(
                whole / MANIFEST, with_its_checksum(content), lambda: str(_entry(place, whole.name))
            ),
        ),
        "begun-listing": Reader([(begun / LISTING).read_bytes()], going_on(LISTING)),
        "begun-facts": Reader([(begun / FACTS_FILE).read_bytes()], going_on(FACTS_FILE)),
        "begun-parts": Reader([(begun / DONE).read_bytes()], going_on(DONE)),
    }
