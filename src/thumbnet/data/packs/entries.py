"""What the cache of decoded pictures holds, listed and removed."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from thumbnet.data.packs.manifest import MANIFEST, Manifest, read_manifest
from thumbnet.data.packs.place import BUILDING_SUFFIX, cache_place, is_entry, lock_of, locked, remove, size_on_disk
from thumbnet.errors import DataError
from thumbnet.specs.checks import did_you_mean
from thumbnet.terminal.text import counted, escaped


@dataclass(frozen=True)
class CacheEntry:
    """The decoded pictures of one folder, read in one way: `state` is "complete", "unfinished" (a reading that was
    stopped, or goes on now) or "damaged". Of what is not complete, neither folder nor images are known; `used` is when
    it was last read, as ISO 8601."""

    name: str
    state: str
    num_bytes: int
    used: str
    folder: str | None = None
    num_images: int | None = None
    image_shape: tuple[int, int, int] | None = None
    fit: str | None = None

    def __str__(self) -> str:
        line = f"{self.name}  {self.num_bytes / 1e6:,.1f} MB  used {self.used[:10]}"
        if self.num_images is None or self.image_shape is None:
            return f"{line}  {self.state}"
        channels, height, width = self.image_shape
        how = "letterboxed " if self.fit == "letterbox" else ""
        colour = "grey" if channels == 1 else "colour"
        return f"{line}  {self.num_images:,} images {width}x{height} {how}in {colour}  {escaped(self.folder or '')}"

    def to_dict(self) -> dict[str, Any]:
        """Values for JSON."""
        return asdict(self)


def cache_entries() -> tuple[Path | None, list[CacheEntry]]:
    """Where the cache is, None where there is none, and its entries by name.

    Raises:
        DataError: it cannot be listed.
    """
    place = cache_place()
    if place is None or not place.is_dir():
        return place, []
    try:
        folders = sorted(path for path in place.iterdir() if path.is_dir() and is_entry(path))
    except OSError as error:
        raise DataError(f"{place} cannot be listed: {error.strerror}", hint="check its permissions") from error
    names = dict.fromkeys(lock_of(path).stem for path in folders)
    entries: list[CacheEntry] = []
    for name in names:
        with suppress(FileNotFoundError):  # removed since
            entries.append(_entry(place, name))
    return place, entries


def clear_cache(name: str | None = None) -> list[CacheEntry]:
    """Remove an entry of the cache, or all; those that were removed. A training that uses one goes on.

    Raises:
        DataError: there is none of this name, or it cannot be removed; or one is being written now, and all others are
            removed.
    """
    place, entries = cache_entries()
    chosen = entries if name is None else [entry for entry in entries if entry.name == name]
    if place is None or (name is not None and not chosen):
        names = [entry.name for entry in entries]
        raise DataError(
            f"the cache has no entry {name!r}" if place is not None else "there is no cache",
            hint=f"{did_you_mean(name or '', names)}`thumbnet data cache --list` lists what there is",
        )
    removed: list[CacheEntry] = []
    busy: list[str] = []
    for entry in chosen:
        lock = lock_of(place / entry.name)
        try:
            with locked(lock, waits=None) as is_held:
                if not is_held:
                    busy.append(entry.name)
                    continue
                for path in [path for path in place.iterdir() if lock_of(path) == lock]:
                    remove(path)
                removed.append(entry)
        except OSError as error:
            raise DataError(f"{entry.name} cannot be removed: {error}", hint="check its permissions") from error
    if busy:
        others = f" (removed: {counted(len(removed), 'other')})" if removed else ""
        written = f"{', '.join(busy)} {'is' if len(busy) == 1 else 'are'} being written now{others}"
        raise DataError(written, hint="try again when that has finished")
    return removed


def summed(entries: Sequence[CacheEntry]) -> str:
    """How many there are, and what they take on the disk."""
    num_bytes = sum(entry.num_bytes for entry in entries)
    return f"{counted(len(entries), 'entry', plural='entries')}, {num_bytes / 1e6:,.1f} MB"


def _entry(place: Path, name: str) -> CacheEntry:
    folder = place / name
    manifest: Manifest | None = None
    state = "complete" if folder.is_dir() else "unfinished"
    with suppress(DataError):
        manifest = read_manifest(folder)
    if manifest is None and state == "complete":
        state = "damaged"
    num_bytes = sum(size_on_disk(path) for path in place.glob(f"{name}*") if lock_of(path) == lock_of(folder))
    dated = folder / MANIFEST if manifest is not None else _first(place, name)
    used = datetime.fromtimestamp(dated.stat().st_mtime, UTC).isoformat(timespec="seconds")
    if manifest is None:
        return CacheEntry(name, state, num_bytes, used)
    _, channels, height, width = manifest.splits["train"].shape
    return CacheEntry(
        name,
        state,
        num_bytes,
        used,
        folder=manifest.source.name.partition(":")[2],
        num_images=manifest.num_images,
        image_shape=(channels, height, width),
        fit=manifest.fit,
    )


def _first(place: Path, name: str) -> Path:
    """One of the folders of an entry without a manifest."""
    found = [path for path in (place / name, place / f"{name}{BUILDING_SUFFIX}") if path.exists()]
    return found[0] if found else place
