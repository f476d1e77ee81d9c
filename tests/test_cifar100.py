"""CIFAR-100: both releases, as a folder and as an archive, with the fine label of each image."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from cifar_files import make_batches, published, release_files, write_archive, write_folder
from thumbnet.data.checksums import CIFAR100_BINARY, CIFAR100_CLASSES, CIFAR100_PYTHON, CIFAR100_RELEASES, Release
from thumbnet.data.cifar import read_cifar100
from thumbnet.data.sources import load_dataset
from thumbnet.errors import ChecksumError, DataError, DatasetNotFoundError

BATCHES = make_batches(200, num_batches=2, num_classes=100)


@pytest.mark.parametrize("release", CIFAR100_RELEASES)
@pytest.mark.parametrize("write", [write_folder, write_archive])
def test_every_form_gives_the_same_images_and_fine_labels(tmp_path: Path, release: Release, write: object) -> None:
    official = published(release, BATCHES)
    write(tmp_path, official, BATCHES)  # type: ignore[operator]
    splits = read_cifar100(tmp_path, releases=[official])
    assert splits.test is not None
    for split, batch in ((splits.train, BATCHES[0]), (splits.test, BATCHES[1])):
        assert split.images.equal(torch.from_numpy(batch.images))
        assert split.labels.tolist() == batch.labels
    assert splits.class_names == CIFAR100_CLASSES
    is_unknown = release is CIFAR100_BINARY and write is write_folder
    assert splits.source.verified is (None if is_unknown else True)
    assert splits.source.name == "cifar100"


def test_the_names_are_a_hundred_in_alphabetical_order() -> None:
    assert len(set(CIFAR100_CLASSES)) == 100
    assert list(CIFAR100_CLASSES) == sorted(CIFAR100_CLASSES)


def test_files_that_are_not_the_published_ones_are_refused_unless_allowed(tmp_path: Path) -> None:
    write_folder(tmp_path, CIFAR100_PYTHON, BATCHES)
    with pytest.raises(ChecksumError, match="train, test, meta") as caught:
        load_dataset("cifar100", data_dir=tmp_path)
    assert "--allow-unverified" in caught.value.hint
    dataset = load_dataset("cifar100", data_dir=tmp_path, allow_unverified=True, val_fraction=0.0)
    assert dataset.source.verified is False
    assert dataset.num_classes == 100


def test_what_is_missing_or_damaged_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetNotFoundError, match=r"no CIFAR-100 in .*cifar-100-python") as caught:
        read_cifar100(tmp_path)
    assert "www.cs.toronto.edu" in caught.value.hint
    folder = write_folder(tmp_path, CIFAR100_BINARY, BATCHES)
    (folder / "train.bin").write_bytes(release_files(CIFAR100_BINARY, BATCHES)["train.bin"][:-1])
    with pytest.raises(DataError, match=r"train.bin is truncated .* records of 3074"):
        read_cifar100(tmp_path)
    (folder / "train.bin").unlink()
    with pytest.raises(DataError, match=r"only a part of CIFAR-100: train.bin missing"):
        read_cifar100(tmp_path)
