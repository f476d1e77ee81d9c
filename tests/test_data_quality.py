"""Duplicates, outliers, exposure: what is planted in the digits is found, and nothing much besides."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from thumbnet.data import duplicates
from thumbnet.data.digits import read_digits
from thumbnet.data.duplicates import DuplicatePair, find_duplicates
from thumbnet.data_check.exposure import find_exposure_issues, measure_exposure
from thumbnet.data_check.outliers import find_outliers, outlyingness


@pytest.fixture(scope="module")
def digits() -> Tensor:
    return read_digits().train.images


@pytest.fixture(scope="module")
def photographs() -> Tensor:
    """500 smooth colour pictures of random blots with some grain: unlike one another."""
    generator = torch.Generator().manual_seed(0)
    blots = F.interpolate(torch.rand(500, 3, 9, 9, generator=generator), size=32, mode="bicubic")
    grain = 0.05 * torch.randn(500, 3, 32, 32, generator=generator)
    return ((blots + grain) * 255).clamp(0, 255).to(torch.uint8)


def as_jpeg(image: Tensor, quality: int = 80) -> Tensor:
    buffer = io.BytesIO()
    Image.fromarray(image.permute(1, 2, 0).numpy()).save(buffer, "JPEG", quality=quality)
    return torch.from_numpy(np.array(Image.open(buffer))).permute(2, 0, 1)


def test_equal_recompressed_recoloured_and_flipped_copies_are_found(photographs: Tensor) -> None:
    images = photographs.clone()
    images[100] = images[7]
    images[200] = as_jpeg(images[8])
    images[300] = (images[9].float() * 0.7 + 30).to(torch.uint8)
    images[400] = images[10].flip(2)
    found = find_duplicates(images, with_flips=True)
    assert [(pair.first, pair.second, pair.flipped) for pair in found[:1]] == [(7, 100, False)]
    assert {(pair.first, pair.second, pair.flipped) for pair in found} == {
        (7, 100, False), (8, 200, False), (9, 300, False), (10, 400, True)
    }  # fmt: skip
    assert found[0].likeness == 1.0
    assert [pair.likeness for pair in found] == sorted((pair.likeness for pair in found), reverse=True)
    assert (10, 400) not in {(pair.first, pair.second) for pair in find_duplicates(images, with_flips=False)}


def test_pairs_are_found_across_blocks(photographs: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    images = photographs[:60].clone()
    images[50] = as_jpeg(images[3])
    images[31] = as_jpeg(images[30])
    whole = find_duplicates(images, with_flips=True)
    monkeypatch.setattr(duplicates, "BLOCK_IMAGES", 7)
    in_blocks = find_duplicates(images, with_flips=True)
    assert {(pair.first, pair.second) for pair in whole} == {(3, 50), (30, 31)}
    assert [(pair.first, pair.second) for pair in in_blocks] == [(pair.first, pair.second) for pair in whole]


def test_of_many_equal_images_each_is_paired_with_the_first(photographs: Tensor) -> None:
    images = photographs[:40].clone()
    images[[5, 9, 20]] = images[2].clone()
    assert find_duplicates(images, with_flips=False) == tuple(DuplicatePair(2, other, 1.0) for other in (5, 9, 20))


def test_digits_that_are_only_written_alike_are_few(digits: Tensor) -> None:
    images = digits.clone()
    images[900] = (images[40].float() * 0.9).to(torch.uint8)
    found = find_duplicates(images, with_flips=False)
    assert (found[0].first, found[0].second) == (40, 900)
    assert found[0].likeness > 0.99
    assert len(found) < 30


@pytest.mark.parametrize("num_images", [1, 2])
def test_few_or_flat_images_are_no_trouble(num_images: int) -> None:
    levels = torch.arange(num_images, dtype=torch.uint8).view(-1, 1, 1, 1)
    assert find_duplicates(levels.expand(-1, 3, 16, 16).contiguous(), with_flips=True) == ()


def test_dark_bright_and_flat_images_are_found(photographs: Tensor) -> None:
    images = photographs[:100].clone()
    images[3] = images[3] // 4
    images[4] = 255 - images[4] // 4
    images[5] = 120 + images[5] // 20
    images[6] = 0
    issues = find_exposure_issues(images, torch.arange(100) % 2)
    assert [(issue.index, issue.kind) for issue in issues] == [
        (6, "dark"), (3, "dark"), (4, "bright"), (6, "flat"), (5, "flat")
    ]  # fmt: skip
    assert all(0 < issue.score <= 1 for issue in issues)


def test_of_a_class_of_dark_images_only_the_darkest_is_found(photographs: Tensor) -> None:
    images, labels = photographs[:100].clone(), torch.arange(100) % 2
    images[labels == 1] //= 5  # photographs of the night
    images[7] = 0
    images[8] = images[8] // 8
    found = [(issue.index, issue.kind) for issue in find_exposure_issues(images, labels) if issue.kind == "dark"]
    assert found == [(7, "dark"), (8, "dark")]
    few = torch.cat([images[labels == 0], images[labels == 1][:10]])  # too few to know what is usual
    of_few = find_exposure_issues(few, torch.tensor([0] * 50 + [1] * 10))
    assert sum(issue.kind == "dark" for issue in of_few) == 11


def test_brightness_is_that_of_pillow(photographs: Tensor) -> None:
    exposure = measure_exposure(photographs[:5])
    for image, low, high in zip(photographs[:5], exposure.low, exposure.high, strict=True):
        grey = np.array(Image.fromarray(image.permute(1, 2, 0).numpy()).convert("L")) / 255
        assert [float(low), float(high)] == pytest.approx(np.quantile(grey, [0.01, 0.99]).tolist(), abs=0.005)


def test_a_small_bird_in_the_sky_is_not_flat() -> None:
    images = torch.full((1, 1, 32, 32), 180, dtype=torch.uint8)
    images[0, 0, 10:14, 10:14] = 60
    assert find_exposure_issues(images, torch.zeros(1, dtype=torch.int64)) == ()


def test_outliers_are_far_from_all_others() -> None:
    features = np.random.default_rng(0).normal(0, 1, (2000, 8)).astype(np.float32)
    features[30] = 20
    features[40] = -40
    labels = np.zeros(2000, np.int64)
    distances = outlyingness(features, labels)
    assert np.median(distances) == pytest.approx(1.0)
    assert find_outliers(distances, labels)[:2].tolist() == [40, 30]
    assert len(find_outliers(distances, labels)) < 12
    np.testing.assert_allclose(outlyingness(1000 * features, labels), distances, rtol=1e-4)


def test_a_class_that_is_more_varied_is_not_the_list_of_outliers() -> None:
    generator = np.random.default_rng(0)
    labels = (np.arange(2000) % 4 == 0).astype(np.int64)  # a quarter of the images is of the varied class
    features = generator.normal(0, 1, (2000, 8)).astype(np.float32)
    features[labels == 1] = 10 + 3 * features[labels == 1]
    features[30], features[40] = 200, -60  # an intact thing, and a defect
    found = find_outliers(outlyingness(features, labels), labels)
    assert set(found[:2].tolist()) == {30, 40}
    assert len(found) < 12
    pooled = np.zeros(2000, np.int64)
    assert labels[find_outliers(outlyingness(features, pooled), pooled)].mean() > 0.9  # what classes are for


def test_an_image_with_a_wrong_label_is_no_outlier_and_small_classes_have_the_deviation_of_all() -> None:
    features = np.random.default_rng(0).normal(0, 1, (600, 8)).astype(np.float32)
    labels = np.arange(600) % 2
    features[labels == 1] += 12
    labels[:10] = 1 - labels[:10]
    assert not set(find_outliers(outlyingness(features, labels), labels).tolist()) & set(range(10))
    labels[10:18] = 2  # a class of eight
    features[10:18] += 50
    features[10] = 900
    assert find_outliers(outlyingness(features, labels), labels)[0] == 10
    assert not set(find_outliers(outlyingness(features, labels), labels).tolist()) & set(range(11, 18))


def test_copies_do_not_make_outliers_of_all_others() -> None:
    generator = np.random.default_rng(0)
    features = generator.normal(0, 1, (2000, 8)).astype(np.float32)
    features[:1100] = features[0]
    features[1500] = 30
    labels = np.zeros(2000, np.int64)
    found = find_outliers(outlyingness(features, labels), labels).tolist()
    assert found[0] == 1500
    assert len(found) < 12
    assert find_outliers(outlyingness(np.ones((40, 4), np.float32), labels[:40]), labels[:40]).tolist() == []


def test_the_distance_is_that_to_the_tenth_neighbour() -> None:
    line = np.arange(30, dtype=np.float32)[:, None]
    assert outlyingness(line, np.zeros(30, np.int64))[[0, 15]] == pytest.approx(np.array([10.0, 5.0]) / np.median(
        [max(10 - index, 5) if index < 15 else max(10 - (29 - index), 5) for index in range(30)]
    ))  # fmt: skip
