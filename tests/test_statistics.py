"""Channel statistics against NumPy's in double precision."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from thumbnet.data.statistics import CHUNK_PIXELS, channel_statistics

AT_ONCE = CHUNK_PIXELS // 64**2


def random_images(*shape: int, seed: int = 0, top: int = 256) -> torch.Tensor:
    return torch.randint(0, top, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


@given(
    num_images=st.integers(1, 9),
    num_channels=st.integers(1, 4),
    side=st.integers(1, 6),
    top=st.integers(1, 256),
    seed=st.integers(0, 1000),
)
def test_agrees_with_numpy(num_images: int, num_channels: int, side: int, top: int, seed: int) -> None:
    images = random_images(num_images, num_channels, side, side, seed=seed, top=top)
    statistics = channel_statistics(images)
    scaled = images.numpy().astype(np.float64) / 255
    assert statistics.mean == pytest.approx(scaled.mean(axis=(0, 2, 3)).tolist(), abs=1e-12)
    assert statistics.std == pytest.approx(scaled.std(axis=(0, 2, 3)).tolist(), abs=1e-12)


@pytest.mark.parametrize("num_images", [AT_ONCE - 1, AT_ONCE, AT_ONCE + 1, 2 * AT_ONCE + 7])
def test_every_chunk_counts(num_images: int) -> None:
    images = random_images(num_images, 1, 64, 64)
    images[-1] = 255
    scaled = images.numpy().astype(np.float64) / 255
    assert channel_statistics(images).mean == pytest.approx(scaled.mean(axis=(0, 2, 3)).tolist(), abs=1e-12)


def test_known_values() -> None:
    images = torch.tensor([[0, 255], [51, 51]], dtype=torch.uint8).reshape(1, 2, 1, 2)
    statistics = channel_statistics(images)
    assert statistics.mean == (0.5, 0.2)
    assert statistics.std == (0.5, 0.0)


def test_images_that_are_not_contiguous() -> None:
    images = random_images(4, 5, 5, 3).permute(0, 3, 1, 2)
    assert channel_statistics(images) == channel_statistics(images.contiguous())
