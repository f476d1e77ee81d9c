"""CIFAR where little memory is free: the same data, by way of the cache, and as careful about what is official."""

from __future__ import annotations

import errno
import io
import os
from contextlib import redirect_stderr
from pathlib import Path

import pytest

from cifar_files import make_batches, published, write_archive, write_folder
from test_packs import assert_same
from thumbnet.data import own_sources
from thumbnet.data.checksums import BINARY, CIFAR100_BINARY, PYTHON, Release
from thumbnet.data.cifar import read_release
from thumbnet.data.packs import cifar_maps, facts, row_file
from thumbnet.data.packs.cifar_maps import read_cifar_or_map
from thumbnet.data.source_splits import SourceSplits
from thumbnet.errors import ChecksumError, DatasetNotFoundError
from thumbnet.specs.data import DataSpec, ReadOptions

OFFICIAL = {"cifar10": [published(BINARY), published(PYTHON)]}


@pytest.fixture(autouse=True)
def _little_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THUMBNET_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(facts, "RECENT_NS", 0)
    monkeypatch.setattr(cifar_maps, "available_bytes", lambda: 0)
    monkeypatch.setattr(cifar_maps, "RELEASES_OF", OFFICIAL)
    monkeypatch.setattr(row_file, "MAX_PART_ROWS", 7)


def read(folder: Path, **options: bool) -> SourceSplits:
    return read_cifar_or_map("cifar10", folder, **options)


@pytest.mark.parametrize("release", [BINARY, PYTHON])
@pytest.mark.parametrize("write", [write_folder, write_archive])
def test_it_is_read_once(release: Release, write: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, release)  # type: ignore[operator]
    expected = read_release(tmp_path, "cifar10", OFFICIAL["cifar10"])
    assert_same(read(tmp_path), expected)
    with monkeypatch.context() as patch:
        patch.setattr(cifar_maps, "read_release", None)  # whose call would fail
        found = read(tmp_path)
    assert_same(found, expected)
    assert found.source == expected.source
    assert found.source.verified is True
    assert found.train.origin is not None
    changed = path / release.batch_files[0] if path.is_dir() else path
    os.utime(changed, (0, 0))
    with monkeypatch.context() as patch:
        patch.setattr(cifar_maps, "read_release", None)
        with pytest.raises(TypeError):
            read(tmp_path)
    assert_same(read(tmp_path), expected)


def test_what_is_not_official_is_no_entry(tmp_path: Path) -> None:
    write_folder(tmp_path, batches=make_batches(seed=1))
    for _ in range(2):
        with pytest.raises(ChecksumError):
            read(tmp_path)
        found = read(tmp_path, allow_unverified=True)
        assert found.source.verified is False
        assert found.train.origin is None
    assert not list((tmp_path / "cache").rglob("manifest.json"))
    with pytest.raises(DatasetNotFoundError):
        read(tmp_path / "cache")


def test_what_has_no_published_checksums_stays_unverified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    releases = {"cifar100": [CIFAR100_BINARY]}
    monkeypatch.setattr(cifar_maps, "RELEASES_OF", releases)
    write_folder(tmp_path, CIFAR100_BINARY, make_batches(200, num_batches=2, num_classes=100))
    options = ReadOptions(show_progress=False)
    for _ in range(2):
        found = own_sources.read_cifar100(DataSpec("cifar100", str(tmp_path)), options)
        assert found.source.verified is None
        assert found.train.origin is not None
        assert_same(found, read_release(tmp_path, "cifar100", releases["cifar100"]))


def test_what_fits_or_cannot_be_written_is_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_folder(tmp_path)
    expected = read_release(tmp_path, "cifar10", OFFICIAL["cifar10"])

    def full(*_: object) -> str:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(row_file.RowFile, "write", full)
    told = io.StringIO()
    with redirect_stderr(told):
        assert_same(read(tmp_path), expected)
    assert "cifar10 is read into memory: No space left" in told.getvalue()
    monkeypatch.setattr(cifar_maps, "available_bytes", lambda: 4 * cifar_maps.NUM_BYTES)
    assert_same(read(tmp_path), expected)
    assert not list((tmp_path / "cache").rglob("manifest.json"))
