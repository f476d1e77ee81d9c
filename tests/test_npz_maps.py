"""npz files too large for the memory that is free: the same data, by way of the cache, some images at a time."""

from __future__ import annotations

import errno
import io
import os
import zipfile
from contextlib import redirect_stderr
from pathlib import Path

import numpy as np
import pytest

from test_packs import assert_same
from thumbnet.data import memory
from thumbnet.data.npz import read_npz, unpacked_bytes
from thumbnet.data.packs import facts, npz_maps, row_file
from thumbnet.data.packs.npz_maps import read_npz_or_map
from thumbnet.errors import DataError, DatasetNotFoundError

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (60, 9, 7, 3), dtype=np.uint8)
LABELS = np.arange(60) % 3


@pytest.fixture(autouse=True)
def _little_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THUMBNET_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(facts, "RECENT_NS", 0)
    monkeypatch.setattr(npz_maps, "available_bytes", lambda: 0)
    monkeypatch.setattr(npz_maps, "CHUNK_BYTES", 9 * 7 * 3 * 7)
    monkeypatch.setattr(row_file, "MAX_PART_ROWS", 11)


def save(folder: Path, **arrays: np.ndarray) -> Path:
    np.savez(folder / "set.npz", **arrays)
    return folder / "set.npz"


@pytest.mark.parametrize(
    "arrays",
    [
        {"images": IMAGES, "labels": LABELS},
        {"images": IMAGES.transpose(0, 3, 1, 2), "labels": LABELS[:, None]},
        {"images": IMAGES[..., 0], "labels": LABELS},
        {"images": (IMAGES / 255).astype(np.float32), "labels": LABELS, "class_names": np.array(["a", "b", "c"])},
        {"images": IMAGES, "labels": np.eye(3, dtype=np.uint8)[LABELS]},
        {"train_images": IMAGES, "train_labels": LABELS, "test_images": IMAGES[:9], "test_labels": LABELS[:9]},
    ],
)
def test_the_arrays_are_the_same(arrays: dict[str, np.ndarray], tmp_path: Path) -> None:
    contiguous = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    path = save(tmp_path, **contiguous)
    expected = read_npz(path)
    for _ in range(2):
        found = read_npz_or_map(path)
        assert_same(found, expected)
        assert (found.source.name, found.source.description) == (expected.source.name, expected.source.description)
        assert found.train.origin is not None


def test_the_file_is_read_again_where_it_has_changed_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(tmp_path, images=IMAGES, labels=LABELS)
    first = read_npz_or_map(path)
    monkeypatch.setattr(npz_maps, "read_npz", None)  # whose call would fail
    assert_same(read_npz_or_map(path), first)
    monkeypatch.undo()
    monkeypatch.setenv("THUMBNET_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(npz_maps, "available_bytes", lambda: 0)
    save(tmp_path, images=255 - IMAGES, labels=LABELS)
    assert_same(read_npz_or_map(path), read_npz(path))


def test_what_fits_is_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(tmp_path, images=IMAGES, labels=LABELS)
    num_bytes = unpacked_bytes(path)
    assert num_bytes > IMAGES.nbytes
    for available, is_mapped in ((4 * num_bytes, False), (4 * num_bytes - 4, True)):
        monkeypatch.setattr(npz_maps, "available_bytes", lambda available=available: available)
        assert (read_npz_or_map(path).train.origin is not None) is is_mapped
    monkeypatch.setenv("THUMBNET_CACHE", "off")
    assert read_npz_or_map(path).train.origin is None


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"images": np.full((6, 4, 4), 2.5), "labels": LABELS[:6]}, "from 2.5 to 2.5"),
        ({"images": np.asfortranarray(IMAGES), "labels": LABELS}, "in the order of Fortran"),
        ({"images": np.zeros((0, 4, 4), np.uint8), "labels": LABELS[:0]}, r"uint8 \[0, 4, 4\]"),
        ({"images": np.array([[["x"]]], object), "labels": LABELS[:1]}, "Python objects"),
        ({"images": IMAGES, "labels": LABELS[:5]}, "60 images and labels 5 labels"),
        ({"images": IMAGES}, "there is no labels"),
        ({"photos": IMAGES}, "has the arrays photos"),
    ],
)
def test_what_is_wrong_is_an_error_and_leaves_nothing(
    arrays: dict[str, np.ndarray], message: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=message):
        read_npz_or_map(save(tmp_path, **arrays))
    assert [path.suffix for path in (tmp_path / "cache" / "packs").iterdir()] == [".lock"]


def test_a_damaged_file_is_an_error_and_a_damaged_entry_is_made_anew(tmp_path: Path) -> None:
    with pytest.raises(DatasetNotFoundError):
        read_npz_or_map(tmp_path / "absent.npz")
    path = save(tmp_path, images=IMAGES, labels=LABELS)
    content = bytearray(path.read_bytes())
    content[2000] ^= 4
    path.write_bytes(content)
    with pytest.raises(DataError, match="is damaged"):
        read_npz_or_map(path)
    save(tmp_path, images=IMAGES, labels=LABELS)
    read_npz_or_map(path)
    (images,) = (tmp_path / "cache").rglob("train-images.npy")
    images.write_bytes(images.read_bytes()[:-1])
    told = io.StringIO()
    with redirect_stderr(told):
        assert_same(read_npz_or_map(path), read_npz(path))
    assert told.getvalue().startswith(f"{path} is brought into the cache anew: {images} has")


def test_names_of_members_lead_to_no_other_folder(tmp_path: Path) -> None:
    array = io.BytesIO()
    np.save(array, IMAGES)
    with zipfile.ZipFile(tmp_path / "set.npz", "w") as archive:
        archive.writestr("../../escaped_images.npy", array.getvalue())
    with pytest.raises(DataError):
        read_npz_or_map(tmp_path / "set.npz")
    assert list(tmp_path.rglob("*escaped*")) == []


def test_on_a_full_disk_arrays_are_read_into_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> str:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(row_file.RowFile, "write", full)
    path = save(tmp_path, images=IMAGES, labels=LABELS)
    told = io.StringIO()
    with redirect_stderr(told):
        assert_same(read_npz_or_map(path), read_npz(path))
    assert "No space left" in told.getvalue()


def test_what_is_free_is_the_least_of_the_machine_and_the_container(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of control groups of both versions, whichever this process is in, and those around it."""
    for name, text in {
        "meminfo": "MemTotal:  9000 kB\nMemAvailable:  7000 kB\n",
        "own": "4:cpu,memory:/jobs/mine\n0::/user/mine\n",
        "groups/user/memory.max": "5000000\n",
        "groups/user/memory.current": "1500000\n",
        "groups/user/memory.stat": "anon 1000000\ninactive_file 500000\n",
        "groups/user/mine/memory.max": "max\n",
        "groups/memory/jobs/mine/memory.limit_in_bytes": "9000000\n",
        "groups/memory/jobs/mine/memory.usage_in_bytes": "6000000\n",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(memory, "CONTROL_GROUPS", tmp_path / "groups")
    monkeypatch.setattr(memory, "OWN_GROUPS", tmp_path / "own")
    monkeypatch.setattr(memory, "MEMORY_INFO", tmp_path / "meminfo")
    assert (memory.available_bytes(), memory.memory_limit_bytes()) == (3_000_000, 2_500_000)
    (tmp_path / "groups/user/memory.max").write_text("max\n")
    assert (memory.available_bytes(), memory.memory_limit_bytes()) == (3_000_000, 4_500_000)
    (tmp_path / "own").unlink()  # as where the groups of a container are seen from within
    assert memory.available_bytes() == 7000 * 1024
    (tmp_path / "groups/memory.max").write_text("5000000\n")
    (tmp_path / "groups/memory.current").write_text("1000000\n")
    assert memory.available_bytes() == 4_000_000
    (tmp_path / "groups/memory.max").unlink()
    (tmp_path / "meminfo").unlink()
    assert memory.available_bytes() > 7000 * 1024
