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
    found = [(issue.index, issue.kind) for issue in find_exposure_issues(images)]
    assert found == [(6, "dark"), (3, "dark"), (4, "bright"), (6, "flat"), (5, "flat")]
    assert all(0 < issue.score <= 1 for issue in find_exposure_issues(images))


def test_brightness_is_that_of_pillow(photographs: Tensor) -> None:
    exposure = measure_exposure(photographs[:5])
    for image, low, high in zip(photographs[:5], exposure.low, exposure.high, strict=True):
        grey = np.array(Image.fromarray(image.permute(1, 2, 0).numpy()).convert("L")) / 255
        assert [float(low), float(high)] == pytest.approx(np.quantile(grey, [0.01, 0.99]).tolist(), abs=0.005)


def test_a_small_bird_in_the_sky_is_not_flat() -> None:
    images = torch.full((1, 1, 32, 32), 180, dtype=torch.uint8)
    images[0, 0, 10:14, 10:14] = 60
    assert find_exposure_issues(images) == ()


def test_outliers_are_far_from_all_others() -> None:
    features = np.random.default_rng(0).normal(0, 1, (2000, 8)).astype(np.float32)
    features[30] = 20
    features[40] = -40
    distances = outlyingness(features)
    assert np.median(distances) == pytest.approx(1.0)
    assert find_outliers(distances)[:2].tolist() == [40, 30]
    assert len(find_outliers(distances)) < 12
    np.testing.assert_allclose(outlyingness(1000 * features), distances, rtol=1e-4)


def test_copies_do_not_make_outliers_of_all_others() -> None:
    generator = np.random.default_rng(0)
    features = generator.normal(0, 1, (2000, 8)).astype(np.float32)
    features[:1100] = features[0]
    features[1500] = 30
    found = find_outliers(outlyingness(features)).tolist()
    assert found[0] == 1500
    assert len(found) < 12
    assert find_outliers(outlyingness(np.ones((40, 4), np.float32))).tolist() == []


def test_the_distance_is_that_to_the_tenth_neighbour() -> None:
    line = np.arange(30, dtype=np.float32)[:, None]
    assert outlyingness(line)[[0, 15]] == pytest.approx(np.array([10.0, 5.0]) / np.median(
        [max(10 - index, 5) if index < 15 else max(10 - (29 - index), 5) for index in range(30)]
    ))  # fmt: skip
