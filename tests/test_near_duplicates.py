"""Near copies are found in groups of any size: the copies must not set the scale by which they are judged."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from thumbnet.data.digits import read_digits
from thumbnet.data.duplicates import describe_likeness, find_duplicates

NUM_IMAGES = 80


@pytest.fixture(scope="module")
def photographs() -> Tensor:
    """Smooth colour pictures of random blots with some grain: unlike one another."""
    generator = torch.Generator().manual_seed(0)
    blots = F.interpolate(torch.rand(NUM_IMAGES, 3, 9, 9, generator=generator), size=32, mode="bicubic")
    grain = 0.05 * torch.randn(NUM_IMAGES, 3, 32, 32, generator=generator)
    return ((blots + grain) * 255).clamp(0, 255).to(torch.uint8)


def near_copies(image: Tensor, number: int) -> Tensor:
    """So many copies of a picture, recompressed and recoloured each in its own way."""
    generator = np.random.default_rng(0)
    copies = []
    for _ in range(number):
        brighter = image.numpy() * generator.uniform(0.7, 1.0) + generator.uniform(0, 40)
        buffer = io.BytesIO()
        picture = Image.fromarray(brighter.clip(0, 255).astype(np.uint8).transpose(1, 2, 0))
        picture.save(buffer, "JPEG", quality=int(generator.integers(70, 96)))
        copies.append(torch.from_numpy(np.array(Image.open(buffer))).permute(2, 0, 1))
    return torch.stack(copies)


@pytest.mark.parametrize("size", [2, 12, 42])
def test_a_group_of_near_copies_is_found_whole(photographs: Tensor, size: int) -> None:
    images = photographs.clone()
    images[:size] = near_copies(photographs[0], size)
    found = {(pair.first, pair.second) for pair in find_duplicates(images, with_flips=False)}
    expected = {(first, second) for first in range(size) for second in range(first + 1, size)}
    assert len(found & expected) >= 0.98 * len(expected)
    assert found <= expected


def test_several_groups_are_found_though_all_images_are_in_one(photographs: Tensor) -> None:
    images = torch.cat([near_copies(image, 15) for image in photographs[:4]])
    found = {(pair.first, pair.second) for pair in find_duplicates(images, with_flips=True)}
    expected = {
        (first, second) for first in range(60) for second in range(first + 1, 60) if first // 15 == second // 15
    }
    assert len(found & expected) >= 0.98 * len(expected)
    assert found <= expected


def test_copies_in_digits_do_not_hide_one_another_and_draw_in_no_others() -> None:
    digits = read_digits().train.images[:300]
    without = find_duplicates(digits, with_flips=False)
    generator = torch.Generator().manual_seed(0)
    copies = digits[3].float() + 4 * torch.randn(20, *digits.shape[1:], generator=generator)
    found = find_duplicates(torch.cat([digits, copies.clamp(0, 255).to(torch.uint8)]), with_flips=False)
    of_copies = [pair for pair in found if pair.second >= 300]
    assert {pair.second for pair in of_copies if pair.first == 3} == set(range(300, 320))
    assert len(found) - len(of_copies) < len(without) + 8  # another sample of images: a slightly other scale


def test_fewer_images_than_neighbours_are_no_trouble(photographs: Tensor) -> None:
    for number in (3, 6, 11, 12, 13):
        assert find_duplicates(photographs[:number], with_flips=True) == ()


def test_the_order_of_some_hundred_images_does_not_matter() -> None:
    images = read_digits().train.images[:700]
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(3))
    pairs = {frozenset((pair.first, pair.second)) for pair in find_duplicates(images, with_flips=False, share=0.8)}
    shuffled = find_duplicates(images[order], with_flips=False, share=0.8)
    assert {frozenset(order[[pair.first, pair.second]].tolist()) for pair in shuffled} == pairs
    nearer = find_duplicates(images, with_flips=False)
    assert {frozenset((pair.first, pair.second)) for pair in nearer} < pairs


def test_only_equal_images_are_wholly_alike() -> None:
    assert [describe_likeness(likeness) for likeness in (1, 0.9999, 0.994, 0.913)] == [
        "equal", "0.99 alike", "0.99 alike", "0.91 alike"
    ]  # fmt: skip


def test_a_larger_share_reaches_further_in_the_coarse_too() -> None:
    """Pairs of the same detail, one with ever more of a slope of light: what parts them is the coarse alone."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(60, 140, (200, 1, 32, 32), generator=generator, dtype=torch.uint8)
    slope = torch.linspace(-1, 1, 32).expand(1, 32, 32)
    lit = torch.stack([image + slope * strength / 3 for strength, image in enumerate(images[:60].float())])
    everything = torch.cat([images, lit.round().clamp(0, 255).to(torch.uint8)])
    few = find_duplicates(everything, with_flips=False, share=0.6)
    more = find_duplicates(everything, with_flips=False, share=0.7)
    assert 0 < len(few) < len(more)
    assert {(pair.first, pair.second) for pair in few} < {(pair.first, pair.second) for pair in more}
