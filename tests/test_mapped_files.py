"""Images that are mapped from a file: one that gets shorter is an error before they are gone through.

Files are cut by a byte, which leaves their last page: without the error, nothing here would end the process.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import thumbnet
from thumbnet.data.packs import maps
from thumbnet.data.packs.packed import read_packed
from thumbnet.data.read_ahead import read_batches
from thumbnet.data.streamed import chunks_of
from thumbnet.errors import DataError
from thumbnet.training.progress import Silent

SHORTER = r"train-images\.npy cannot be read: it is shorter than it was"
USES: tuple[Callable[[Tensor], object], ...] = (
    lambda images: list(chunks_of(images, 3)),
    lambda images: list(read_batches(images, torch.arange(4).split(2))),
)


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    """A pack of eight images in each of the three splits, none of which is divided again."""
    noise, arrays = np.random.default_rng(0), dict[str, np.ndarray]()
    for split in ("train", "val", "test"):
        arrays[f"{split}_images"] = noise.integers(0, 256, (8, 4, 4), np.uint8)
        arrays[f"{split}_labels"] = np.arange(8) % 2
    np.savez(tmp_path / "data.npz", **arrays)
    return thumbnet.pack_data(f"npz:{tmp_path / 'data.npz'}", tmp_path / "pack", show_progress=False).path


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 1)


def test_a_pack_that_is_cut_short_between_two_epochs_is_an_error(pack: Path) -> None:
    dataset, epochs = thumbnet.load_dataset(f"packed:{pack}"), list[int]()

    def ends(state: thumbnet.TrainingState) -> None:
        epochs.append(state.epoch)
        if state.epoch == 2:
            cut(pack / "train-images.npy")

    with pytest.raises(DataError, match=SHORTER) as caught:
        thumbnet.fit(
            nn.Sequential(nn.Flatten(), nn.Linear(16, 2)),
            dataset,
            epochs=4,
            batch_size=4,
            progress=Silent(),
            on_epoch_end=ends,
        )
    assert epochs == [1, 2]
    assert "pack it again" in caught.value.hint


@pytest.mark.parametrize("use", USES)
def test_images_of_that_file_are_refused_and_no_others(use: Callable[[Tensor], object], pack: Path) -> None:
    splits = read_packed(pack)
    images = splits.train.images
    copy = images.clone()
    use(images)
    cut(pack / "train-images.npy")
    for mapped in (images, images[3:], images.expand(-1, 3, -1, -1)):
        with pytest.raises(DataError, match=SHORTER):
            use(mapped)
    assert splits.test is not None
    for others in (copy, splits.test.images):
        use(others)


@pytest.mark.parametrize("use", USES)
def test_a_file_that_is_removed_or_replaced_is_still_mapped(use: Callable[[Tensor], object], pack: Path) -> None:
    images, file = read_packed(pack).train.images, pack / "train-images.npy"
    before = images.clone()
    file.unlink()
    use(images)
    file.write_bytes(b"another")
    use(images)
    assert torch.equal(images, before)


def test_a_map_that_nobody_uses_is_forgotten(pack: Path) -> None:
    def files() -> set[str]:
        return {each.path.name for each in maps._IN_USE if each.path.parent == pack}

    splits = read_packed(pack)
    assert files() == {"train-images.npy", "val-images.npy", "test-images.npy"}
    images = splits.train.images[2:]
    del splits
    assert files() == {"train-images.npy"}
    del images
    assert files() == set()
