"""npz: the arrays that such files have, in every order of their axes, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from thumbnet.data.npz import read_npz
from thumbnet.data.sources import load_dataset
from thumbnet.errors import DataError, DatasetNotFoundError

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (60, 9, 7, 3), dtype=np.uint8)
LABELS = np.arange(60) % 3


def save(path: Path, **arrays: np.ndarray) -> Path:
    np.savez(path / "set.npz", **arrays)
    return path / "set.npz"


@pytest.mark.parametrize("labels", [LABELS, LABELS[:, None].astype(np.uint8)])
@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        (IMAGES, IMAGES.transpose(0, 3, 1, 2)),
        (IMAGES.transpose(0, 3, 1, 2), IMAGES.transpose(0, 3, 1, 2)),
        (IMAGES[..., 0], IMAGES[:, None, :, :, 0]),
        (IMAGES[..., :1], IMAGES[:, None, :, :, 0]),
    ],
)
def test_one_set_is_divided(tmp_path: Path, stored: np.ndarray, expected: np.ndarray, labels: np.ndarray) -> None:
    path = save(tmp_path, images=stored, labels=labels)
    splits = read_npz(path)
    np.testing.assert_array_equal(splits.train.images.numpy(), expected)
    assert splits.train.labels.tolist() == LABELS.tolist()
    assert splits.class_names == ("0", "1", "2")
    dataset = load_dataset(f"npz:{path}", val_fraction=0.1)
    assert dataset.val is not None
    assert [len(dataset.train), len(dataset.val), len(dataset.test)] == [48, 6, 6]
    assert dataset.source.name == f"npz:{path}"


def test_own_splits_and_names_are_kept(tmp_path: Path) -> None:
    parts = {"train": slice(0, 30), "val": slice(30, 45), "test": slice(45, 60)}
    arrays = {f"{name}_images": IMAGES[part] for name, part in parts.items()}
    arrays |= {f"{name}_labels": LABELS[part] for name, part in parts.items()}
    path = save(tmp_path, **arrays, class_names=np.array(["cat", "dog", "newt"]))
    dataset = load_dataset(f"npz:{path}")
    assert dataset.val is not None
    assert [len(dataset.train), len(dataset.val), len(dataset.test)] == [30, 15, 15]
    assert dataset.class_names == ("cat", "dog", "newt")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": None}, "there is no labels"),
        ({"images": None, "labels": None}, "of nothing"),
        ({"pixels": IMAGES}, "has the arrays images, labels, pixels"),
        ({"val_images": IMAGES}, "has the arrays images, labels, val_images"),
        ({"images": IMAGES.astype(np.float32)}, r"images is float32 \[60, 9, 7, 3\] from 0 to 255"),
        ({"images": IMAGES[..., :2]}, r"images is uint8 \[60, 9, 7, 2\]"),
        ({"labels": LABELS - 1}, "from -1"),
        ({"labels": LABELS[:, None].repeat(2, 1)}, r"labels is int64 \[60, 2\]"),
        ({"labels": LABELS + 0.5}, "labels is float64"),
        ({"labels": LABELS[:59]}, "60 images and labels 59 labels"),
        ({"labels": LABELS * 0}, "there is 1 class and 1 class name"),
        ({"labels": LABELS + 1}, "labels up to 3 for 4 classes, but never 0"),
        ({"labels": LABELS * 10**9}, "for 2,000,000,001 classes, but never 1"),
        ({"class_names": np.array(["cat", "dog", "newt", "owl"])}, "up to 2 for 4 classes, but never 3"),
        ({"class_names": np.array(["cat", "dog"])}, "3 classes and 2 class names"),
        ({"class_names": np.array(["cat", "dog", "dog"])}, "a name twice"),
        ({"class_names": np.arange(3)}, "class_names is int64"),
    ],
)
def test_what_is_not_as_described_is_refused(
    tmp_path: Path, changes: dict[str, np.ndarray | None], message: str
) -> None:
    arrays = {"images": IMAGES, "labels": LABELS, **changes}
    path = save(tmp_path, **{name: array for name, array in arrays.items() if array is not None})
    with pytest.raises(DataError, match=message):
        read_npz(path)


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetNotFoundError, match="no file"):
        read_npz(tmp_path / "set.npz")
    (tmp_path / "set.npz").write_bytes(b"PK\x03\x04 damaged")
    with pytest.raises(DataError, match="damaged"):
        read_npz(tmp_path / "set.npz")
    np.savez_compressed(tmp_path / "set.npz", images=IMAGES, labels=LABELS)
    content = bytearray((tmp_path / "set.npz").read_bytes())
    content[len(content) // 2] ^= 255
    (tmp_path / "set.npz").write_bytes(content)
    with pytest.raises(DataError, match="damaged"):
        read_npz(tmp_path / "set.npz")
    np.save(tmp_path / "one.npy", IMAGES)
    with pytest.raises(DataError, match="one array"):
        read_npz(tmp_path / "one.npy")
    np.savez(tmp_path / "set.npz", images=IMAGES, labels=np.array([{}] * 60))
    with pytest.raises(DataError, match="Python objects"):
        read_npz(tmp_path / "set.npz")
