"""The embedded digits: real, complete, enlarged the right way up, and split the same every time."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

import thumbnet.data.digits
from thumbnet.data.digits import read_digits
from thumbnet.data.source_splits import SourceSplits


@pytest.fixture(scope="module")
def digits() -> SourceSplits:
    return read_digits()


def test_shapes_and_facts(digits: SourceSplits) -> None:
    assert digits.test is not None
    assert digits.val is None
    assert len(digits.train) + len(digits.test) == 1797
    assert digits.train.images.shape[1:] == digits.test.images.shape[1:] == (1, 32, 32)
    assert digits.class_names == tuple("0123456789")
    assert not digits.flip_keeps_labels
    assert digits.source.name == "digits"
    assert digits.source.verified is None


def test_the_whole_range_of_grey_is_used(digits: SourceSplits) -> None:
    assert digits.train.images.min() == 0
    assert digits.train.images.max() == 255


def test_a_fifth_of_every_digit_is_for_testing(digits: SourceSplits) -> None:
    assert digits.test is not None
    in_all = torch.from_numpy(load_digits().target).bincount()
    for_testing = digits.test.labels.bincount()
    assert (for_testing - in_all / 5).abs().max() <= 0.5
    assert torch.equal(digits.train.labels.bincount() + for_testing, in_all)


def test_every_image_is_there_once_with_its_own_label(digits: SourceSplits) -> None:
    """Each 4x4 block averaged, the 32x32 images are the 8x8 ones again, up to what the bicubic filter overshoots."""
    assert digits.test is not None
    raw = load_digits()
    labelled = {
        (tuple(image.flatten().astype(int)), int(label)) for image, label in zip(raw.images, raw.target, strict=True)
    }
    images = torch.cat([digits.train.images, digits.test.images]).float()
    labels = torch.cat([digits.train.labels, digits.test.labels])
    small = torch.nn.functional.avg_pool2d(images, 4)[:, 0] * 16 / 255
    originals = torch.from_numpy(raw.images).float()
    nearest = torch.cdist(small.flatten(1), originals.flatten(1)).argmin(dim=1)
    assert len(labelled) == len(raw.images)  # no two are the same
    assert len(nearest.unique()) > 0.99 * len(raw.images)  # a few are nearer to their twin once enlarged
    assert (raw.target[nearest.numpy()] == labels.numpy()).mean() > 0.995


def test_it_is_the_same_every_time(digits: SourceSplits) -> None:
    again = read_digits()
    assert digits.test is not None
    assert again.test is not None
    assert torch.equal(again.train.images, digits.train.images)
    assert torch.equal(again.test.images, digits.test.images)
    assert torch.equal(again.test.labels, digits.test.labels)


def test_what_one_caller_changes_another_does_not_see(digits: SourceSplits) -> None:
    changed = read_digits().train
    changed.images.zero_()
    assert torch.equal(read_digits().train.images, digits.train.images)
    assert digits.train.images.max() == 255


def test_it_is_read_without_importing_scikit_learn_or_by_it(monkeypatch: pytest.MonkeyPatch) -> None:
    straight = thumbnet.data.digits._table()
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "sklearn.datasets", None)  # importing it fails
        np.testing.assert_array_equal(thumbnet.data.digits._table(), straight)
    monkeypatch.setattr(thumbnet.data.digits, "FILE", "datasets/data/moved.csv.gz")
    np.testing.assert_array_equal(thumbnet.data.digits._table(), straight)
