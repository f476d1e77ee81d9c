"""Corruptions, each against an independent statement of what it does."""

from __future__ import annotations

import io
import math

import numpy as np
import pytest
import torch
from jaxtyping import UInt8
from PIL import Image
from scipy import ndimage, stats
from torch import Tensor

from thumbnet.evaluation.corruptions import (
    CORRUPTIONS,
    DIRECTIONS,
    Corruption,
    add_noise,
    blur,
    brighten,
    compress,
    corrupt,
    darken,
    lower_contrast,
    pixelate,
    rotate,
    sample_noise,
    sample_shift,
    sample_turn,
    shift,
)

SHAPES = [(3, 3, 17, 11), (4, 1, 8, 8), (2, 3, 1, 1), (2, 1, 1, 5)]
UNCHANGED_AT = {"pixelation": 1.0}  # 0 for the others; JPEG has no such strength

every_corruption = pytest.mark.parametrize("corruption", CORRUPTIONS, ids=lambda corruption: corruption.name)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def random_images(*shape: int) -> UInt8[Tensor, "n c h w"]:
    return torch.randint(0, 256, shape, generator=seeded(), dtype=torch.uint8)


def levels(values: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(values), 0, 255)


def test_every_kind_that_was_asked_for_is_there_from_mild_to_severe() -> None:
    assert [corruption.name for corruption in CORRUPTIONS] == [
        "noise", "blur", "brighter", "darker", "contrast", "JPEG", "pixelation", "shift", "rotation"
    ]  # fmt: skip
    for corruption in CORRUPTIONS:
        ascending = sorted(set(corruption.strengths))
        assert len(ascending) == 5
        assert list(corruption.strengths) == (ascending[::-1] if corruption.name == "JPEG" else ascending)


@every_corruption
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_shape_type_and_input_are_kept_and_equal_generators_corrupt_alike(
    corruption: Corruption, shape: tuple[int, ...]
) -> None:
    images = random_images(*shape)
    before = images.clone()
    for strength in corruption.strengths:
        corrupted = corrupt(images, corruption, strength, seeded(1))
        assert corrupted.shape == shape
        assert corrupted.dtype == torch.uint8
        assert corrupted.equal(corrupt(images, corruption, strength, seeded(1)))
    assert images.equal(before)


@every_corruption
def test_each_changes_more_at_a_higher_strength_and_nothing_at_none(corruption: Corruption) -> None:
    smooth = ndimage.gaussian_filter(np.random.default_rng(0).uniform(0, 255, (20, 3, 32, 32)), (0, 0, 2, 2))
    images = torch.from_numpy(levels((smooth - 127) * 6 + 127).astype(np.uint8))
    errors = [
        (corrupt(images, corruption, strength, seeded()).double() - images).abs().mean().item()
        for strength in corruption.strengths
    ]
    assert errors == sorted(errors)
    assert 0 < errors[0] < errors[-1] / 2
    if corruption.name != "JPEG":
        assert corrupt(images, corruption, UNCHANGED_AT.get(corruption.name, 0.0), seeded()).equal(images)


def test_noise_has_mean_nought_and_the_deviation_that_was_asked_for() -> None:
    grey = torch.full((40, 3, 32, 32), 128, dtype=torch.uint8)
    for sigma in (0.02, 0.08):
        errors = (add_noise(grey, sigma, **sample_noise(tuple(grey.shape), seeded())).double() - 128) / 255
        assert errors.mean().item() == pytest.approx(0, abs=5 * sigma / math.sqrt(grey.numel()))
        assert errors.std().item() == pytest.approx(sigma, rel=0.02)
        assert stats.kurtosis(errors.flatten().numpy()) == pytest.approx(0, abs=0.1)  # as of a normal distribution
    black_and_white = torch.tensor([0, 255], dtype=torch.uint8).view(1, 1, 1, 2)
    outward = torch.tensor([-1.0, 1.0]).view(1, 1, 1, 2)
    assert add_noise(black_and_white, 0.5, noise=outward).equal(black_and_white)


@pytest.mark.parametrize("sigma", [0.5, 1.0, 1.5])
def test_blur_is_the_sum_of_neighbours_under_a_gaussian(sigma: float) -> None:
    images = random_images(2, 3, 14, 9)
    radius = round(4 * sigma)
    offsets = np.arange(-radius, radius + 1)
    weights = np.exp(-(offsets**2) / (2 * sigma**2))
    padded = np.pad(images.numpy().astype(float), ((0, 0), (0, 0), (radius, radius), (radius, radius)), mode="reflect")
    expected = sum(
        across * down * padded[:, :, radius + y : radius + y + 14, radius + x : radius + x + 9]
        for across, x in zip(weights, offsets, strict=True)
        for down, y in zip(weights, offsets, strict=True)
    ) / (weights.sum() ** 2)
    assert np.abs(blur(images, sigma).numpy() - expected).max() <= 0.5 + 1e-3


def test_brightness_is_added_and_cut_off() -> None:
    images = random_images(2, 3, 9, 7)
    values = images.numpy().astype(float)
    assert np.array_equal(brighten(images, 0.6).numpy(), levels(values + 153))
    assert np.array_equal(darken(images, 0.6).numpy(), levels(values - 153))
    assert brighten(images, 1.0).eq(255).all()
    assert darken(images, 1.0).eq(0).all()


def test_contrast_shrinks_the_distance_from_each_images_own_mean() -> None:
    images = random_images(3, 3, 9, 7)
    images[0] //= 2
    for image, lowered in zip(images.numpy().astype(float), lower_contrast(images, 0.7).numpy(), strict=True):
        assert np.abs(lowered - (image.mean() + 0.3 * (image - image.mean()))).max() <= 0.5 + 1e-3
    assert lower_contrast(images, 1.0).flatten(1).double().std(dim=1).eq(0).all()


@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg_is_pillows_and_leaves_a_flat_grey_alone(channels: int) -> None:
    images = random_images(2, channels, 20, 13)
    for image, compressed in zip(images.numpy(), compress(images, 30).numpy(), strict=True):
        file = io.BytesIO()
        picture = Image.fromarray(image[0]) if channels == 1 else Image.fromarray(image.transpose(1, 2, 0))
        picture.save(file, "JPEG", quality=30)
        read = np.asarray(Image.open(file))
        assert np.array_equal(compressed, read[None] if channels == 1 else read.transpose(2, 0, 1))
    flat = torch.full((1, channels, 20, 13), 128, dtype=torch.uint8)
    assert compress(flat, 10).equal(flat)


@pytest.mark.parametrize(("side", "factor", "edges"), [(12, 2, range(0, 13, 2)), (12, 3, range(0, 13, 3))])
def test_pixelation_is_block_means_where_blocks_fit(side: int, factor: int, edges: range) -> None:
    images = random_images(2, 3, side, side)
    values, pixelated = images.numpy().astype(float), pixelate(images, factor).numpy()
    for top in edges[:-1]:
        for left in edges[:-1]:
            block = np.s_[:, :, top : top + factor, left : left + factor]
            means = values[block].mean(axis=(2, 3), keepdims=True)
            assert np.abs(pixelated[block] - means).max() <= 0.5 + 1e-3


@pytest.mark.parametrize("factor", [1.1, 1.25, 1.5, 2, 3, 100])
def test_pixelation_is_pillows_box_filter_where_they_do_not(factor: float) -> None:
    images = random_images(2, 1, 32, 28)
    fewer = max(1, round(28 / factor)), max(1, round(32 / factor))
    for image, pixelated in zip(images.numpy(), pixelate(images, factor).numpy(), strict=True):
        small = Image.fromarray(image[0]).resize(fewer, Image.Resampling.BOX)
        expected = np.asarray(small.resize((28, 32), Image.Resampling.NEAREST)).astype(int)
        assert np.abs(pixelated[0] - expected).max() <= 1  # Pillow rounds after each axis
        assert len(np.unique(pixelated[0], axis=0)) <= fewer[1]


def test_a_shift_is_a_slice_with_a_mirrored_border() -> None:
    images = random_images(len(DIRECTIONS), 3, 12, 10)
    right, down = torch.tensor(DIRECTIONS).T
    shifted = shift(images, 3, right=right, down=down)
    for image, moved, (across, along) in zip(images, shifted, DIRECTIONS, strict=True):
        padded = np.pad(image.numpy(), ((0, 0), (3, 3), (3, 3)), mode="reflect")
        top, left = 3 - 3 * along, 3 - 3 * across
        assert np.array_equal(moved.numpy(), padded[:, top : top + 12, left : left + 10])
    assert shifted[0, :, :, 3:].equal(images[0, :, :, :-3])  # to the right
    assert shifted[2, :, 3:].equal(images[2, :, :-3])  # down


def test_every_direction_is_drawn_as_often_and_each_is_a_move() -> None:
    draws = sample_shift((8_000, 3, 4, 4), seeded())
    moves, counts = torch.stack([draws["right"], draws["down"]], dim=1).unique(dim=0, return_counts=True)
    assert len(moves) == 8
    assert not moves.eq(0).all(dim=1).any()
    assert moves.abs().max() == 1
    assert counts.min() > 850


def test_a_quarter_turn_is_exact_and_a_smaller_one_is_scipys() -> None:
    square = random_images(2, 3, 9, 9)
    assert rotate(square, 90, turn=torch.ones(2)).equal(square.rot90(1, (2, 3)))
    assert rotate(square, 90, turn=-torch.ones(2)).equal(square.rot90(-1, (2, 3)))
    images = random_images(2, 1, 16, 12)
    turned = rotate(images, 20, turn=torch.tensor([1.0, -1.0])).numpy()
    for image, found, degrees in zip(images.numpy(), turned, (20, -20), strict=True):
        expected = ndimage.rotate(image[0].astype(float), degrees, reshape=False, order=1, mode="mirror")
        assert np.abs(found[0] - expected).max() <= 0.51


def test_both_turns_are_drawn_as_often() -> None:
    turns = sample_turn((4_000, 3, 4, 4), seeded())["turn"]
    assert turns.abs().eq(1).all()
    assert turns.mean().item() == pytest.approx(0, abs=0.06)
