"""Pictures of folders decoded once: an entry of the cache for each folder and way of reading it.

An entry is a pack, with what is known of each file (listing.py). It holds for the files as they were: where one was
added, removed or changed, its images are decoded, those of the others copied. What is no entry is read into memory, as
it would be without a cache.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import replace
from functools import cache
from importlib import metadata
from pathlib import Path
from types import TracebackType

import numpy as np
import PIL
import torch

from thumbnet.data.dataset import Split
from thumbnet.data.heif import PLUGINS
from thumbnet.data.images import READER_VERSION
from thumbnet.data.packs.build import build_pictures, facts_of_request, pictures_of
from thumbnet.data.packs.earlier import Earlier, kept_before
from thumbnet.data.packs.facts import Facts, are_unchanged
from thumbnet.data.packs.listing import Listing, images_file, seal, write_facts
from thumbnet.data.packs.manifest import MANIFEST, Manifest, read_manifest
from thumbnet.data.packs.place import (
    BUILDING_SUFFIX,
    LOCK_SUFFIX,
    cache_place,
    is_switched_off,
    locked,
    open_cache,
    remove,
    replace_folder,
    size_on_disk,
    tidy,
)
from thumbnet.data.packs.row_file import RowFile
from thumbnet.data.packs.rows import EARLIER_SUFFIX, Build
from thumbnet.data.packs.store import check_images, note_verified, on_disk, origin_of, write_the_rest
from thumbnet.data.picture_request import PictureRequest, Pictures, ReadPictures
from thumbnet.data.pictures import decode_picture, read_pictures
from thumbnet.data.source_splits import SourceSplits
from thumbnet.errors import DataError, ImageError
from thumbnet.terminal.streams import tell

LARGEST_SHARE = 0.5  # of the disk's free space that an entry may take


def how_read(request: PictureRequest) -> str:
    """A text that differs where the same file would become other pixels."""
    packages = {plugin.package: _version(plugin.package) for plugin in PLUGINS}
    white = None if request.white_levels is None else sorted(request.white_levels.items())
    facts = [request.sides, request.fit, white, READER_VERSION, PIL.__version__, packages]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def entry_name(request: PictureRequest) -> str:
    """The name of the entry of a folder and a way of reading it: the folder's own, and a digest of both."""
    folder = request.relative_to.resolve()
    digest = hashlib.sha256(os.fsencode(folder) + how_read(request).encode()).hexdigest()
    readable = re.sub(r"[^A-Za-z0-9_-]+", "-", folder.name).strip("-")[:40]
    return f"{readable or 'folder'}-{digest[:16]}"


def read_through_cache(read: Callable[[ReadPictures], SourceSplits], *, show_progress: bool) -> SourceSplits:
    """What `read` gives, whose pictures are taken from the cache, or decoded into it; errors are those of `read`.

    Where there can be no cache, they are decoded into memory, which is said once, if progress is to be shown.
    """
    folder = open_cache()
    if folder is None:
        if show_progress and not is_switched_off():
            _tell_once(_why_not())
        return read(read_pictures)
    with CacheReader(folder, show_progress=show_progress) as reader:
        try:
            return reader.finished(read(reader))
        except OSError as error:  # those of the pictures' own folder are DataErrors
            reader.give_up()
            if show_progress:
                _tell_once(f"Decoded pictures are not kept: {error.strerror or error} ({folder}).")
    return read(read_pictures)


class CacheReader:
    """Reads the pictures of one request by way of the cache in `folder`; a lock is held until it is closed."""

    def __init__(self, folder: Path, *, show_progress: bool) -> None:
        self._folder, self._show_progress = folder, show_progress
        self._stack = ExitStack()
        self._request: PictureRequest | None = None
        self._build: Build | None = None
        self._entry: Path | None = None
        self._manifest: Manifest | None = None  # of the entry, where it holds
        self._files: Mapping[str, RowFile] = {}

    def __enter__(self) -> CacheReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.close()

    def __call__(self, request: PictureRequest) -> Pictures:
        """The pictures; errors are those of `read_pictures`, OSError where the cache cannot be written."""
        self._request = request
        entry = self._entry = self._folder / entry_name(request)
        how = how_read(request)
        lock = entry.with_name(f"{entry.name}{LOCK_SUFFIX}")
        self._stack.enter_context(locked(lock, waits=self._tell_of_waiting))
        facts = facts_of_request(request)
        earlier = self._open(entry, how)
        known = _facts_if_unchanged(request, facts, earlier, entry)
        if known is not None:
            unreadable = _still_unreadable(request, known)
            if unreadable is not None:
                files = self._files
                return pictures_of(
                    request, known, unreadable, lambda: {name: file.mapped() for name, file in files.items()}
                )
        self._manifest = None
        self._refuse_lack_of_room(request)
        self._build, pictures = build_pictures(
            request,
            how,
            entry.with_name(entry.name + BUILDING_SUFFIX),
            facts=facts,
            earlier=[] if earlier is None else [earlier],
        )
        return pictures

    def finished(self, splits: SourceSplits) -> SourceSplits:
        """Make what was read an entry; the splits with the place where results on them are kept."""
        assert self._entry is not None
        assert self._request is not None
        splits = replace(splits, fit=self._request.fit)
        if self._build is not None:
            manifest = _finish(self._build, splits)
            replace_folder(self._build.folder, self._entry)
            with suppress(OSError):
                remove(self._build.folder.with_name(self._build.folder.name + EARLIER_SUFFIX))
            tidy(self._folder)
        else:
            assert self._manifest is not None
            parts = {name: split.parts for name, split in self._manifest.splits.items()}
            manifest = write_the_rest(self._entry, splits, parts, known=self._manifest)
            with suppress(OSError):
                os.utime(self._entry / MANIFEST)  # it is in use
        return with_origins(splits, self._entry, manifest)

    def give_up(self) -> None:
        """Remove what was begun."""
        if self._entry is not None:
            shutil.rmtree(self._entry.with_name(self._entry.name + BUILDING_SUFFIX), ignore_errors=True)

    def _open(self, entry: Path, how: str) -> Earlier | None:
        """What the entry has; None where there is none, or it is damaged, which then is told."""
        if not entry.exists():
            return None
        try:
            self._manifest = read_manifest(entry)
            self._files = check_images(entry, self._manifest, show_progress=self._show_progress)
        except DataError as error:
            if self._show_progress:
                tell(f"Pictures are decoded anew: {error.message}.")
            remove(entry)
            self._manifest, self._files = None, {}
            return None
        return kept_before(entry, how, self._files)

    def _tell_of_waiting(self) -> None:
        if self._show_progress:
            tell("Another process reads the same pictures into the cache: waiting for it.")

    def _refuse_lack_of_room(self, request: PictureRequest) -> None:
        assert self._entry is not None
        needed = 3 * len(request.files) * request.sides[0] * request.sides[1]
        begun = size_on_disk(self._entry.with_name(self._entry.name + BUILDING_SUFFIX))  # by a reading that was stopped
        free = shutil.disk_usage(self._folder).free + begun
        if needed > LARGEST_SHARE * free:
            raise OSError(0, f"they would take {needed / 1e9:,.1f} GB of the {free / 1e9:,.1f} GB that are free")


def with_origins(splits: SourceSplits, folder: Path, manifest: Manifest) -> SourceSplits:
    """The splits, with where their images are from; on the disk where they are more than memory takes."""
    present: dict[str, Split] = {name: getattr(splits, name) for name in manifest.splits}
    files = {name: RowFile.open(folder / images_file(name), manifest.splits[name].shape) for name in present}
    known = {
        name: replace(
            split,
            images=torch.from_numpy(files[name].mapped()),  # at the place where they stay, by which maps.py knows them
            origin=origin_of(folder, manifest, name),
        )
        for name, split in present.items()
    }
    known = on_disk(known, files, manifest)
    return replace(splits, train=known["train"], val=known.get("val"), test=known.get("test"))


def _facts_if_unchanged(request: PictureRequest, now: Facts, earlier: Earlier | None, entry: Path) -> Facts | None:
    """What the entry knows of the files, where it has these very ones, in this order, and none has changed."""
    listing = None if earlier is None else Listing.read(entry)
    if earlier is None or listing is None or [*earlier.names] != request.names():
        return None
    if {name: len(files) for name, files in listing.names.items()} != dict(request.num_files):
        return None
    return earlier.facts if bool(are_unchanged(earlier.facts, now).all()) else None


def _still_unreadable(request: PictureRequest, facts: Facts) -> dict[Path, ImageError] | None:
    """What is wrong with the files that could not be read; None where one can be read now."""
    errors: dict[Path, ImageError] = {}
    for place in np.flatnonzero(facts["channels"] == 0).tolist():
        file = request.files[place]
        decoded = decode_picture(file, image_size=request.sides, fit=request.fit, white_levels=request.white_levels)
        if not isinstance(decoded, ImageError):
            return None
        errors[file] = decoded
    return errors


def _finish(build: Build, splits: SourceSplits) -> Manifest:
    """Write what is beside the images of a folder of rows, which then is a pack."""
    folder = build.folder
    write_facts(folder, build.facts)
    seal(folder)
    digests = {name: digests for name, digests in build.digests().items() if getattr(splits, name) is not None}
    manifest = write_the_rest(folder, splits, digests)
    note_verified(folder, build.files)
    return manifest


@cache
def _tell_once(text: str) -> None:
    tell(text)


def _why_not() -> str:
    place = cache_place()
    if sys.platform == "win32":
        return "Decoded pictures are not kept on Windows."
    if place is None:
        return "Decoded pictures are not kept: the user has no home folder (THUMBNET_CACHE names another)."
    return (
        f"Decoded pictures are not kept: {place} cannot be written by this user alone (THUMBNET_CACHE names another)."
    )


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
