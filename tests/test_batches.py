"""batches: an epoch is a permutation cut in pieces; normalisation is the formula it claims to be."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from thumbnet.data.batches import memory_order, normalise, num_batches, shuffled_batches


@given(num_images=st.integers(2, 300), batch_size=st.integers(2, 70), seed=st.integers(0, 2**31))
def test_an_epoch_visits_every_image_once(num_images: int, batch_size: int, seed: int) -> None:
    batches = list(shuffled_batches(num_images, batch_size, torch.Generator().manual_seed(seed)))
    assert sorted(torch.cat(batches).tolist()) == list(range(num_images))
    assert len(batches) == num_batches(num_images, batch_size)
    assert all(len(batch) == batch_size for batch in batches[:-1])
    assert min(len(batch) for batch in batches) >= 2


def test_published_epoch_has_391_batches_and_a_last_one_of_80() -> None:
    batches = list(shuffled_batches(50_000, 128, torch.Generator().manual_seed(1)))
    assert len(batches) == 391
    assert len(batches[-1]) == 80


def test_order_follows_the_generator_alone() -> None:
    first, again, other = (
        torch.cat(list(shuffled_batches(100, 10, torch.Generator().manual_seed(seed)))) for seed in (1, 1, 2)
    )
    assert first.equal(again)
    assert not first.equal(other)
    assert not first.equal(torch.arange(100))


def test_channels_lie_last_but_on_apples_gpu() -> None:
    orders = [memory_order(torch.device(name)) for name in ("cpu", "cuda", "mps")]
    assert orders == [torch.channels_last, torch.channels_last, torch.contiguous_format]


def test_normalise_is_scaled_shifted_pixels() -> None:
    images = torch.randint(0, 256, (4, 3, 5, 7), dtype=torch.uint8)
    mean, std = (0.1, 0.5, 0.9), (0.3, 0.2, 0.1)
    expected = torch.stack([(images[:, c] / 255 - mean[c]) / std[c] for c in range(3)], dim=1)
    normalised = normalise(images, mean, std)
    torch.testing.assert_close(normalised, expected, rtol=1e-5, atol=1e-5)
    assert normalised.is_contiguous(memory_format=torch.channels_last)
    with pytest.raises(ValueError, match="zip"):
        normalise(images, mean[:2], std)
