"""The augmentations for photographs do what cameras, lenses and JPEG do, and turns only move pixels."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from jaxtyping import UInt8
from PIL import Image
from scipy.ndimage import gaussian_filter
from torch import Tensor

from thumbnet.augment import Blur, Jpeg, Lighting, Noise, Policy, QuarterTurn, RandomCrop, VerticalFlip, create_policy
from thumbnet.augment.compression import quantisation
from thumbnet.augment.policies import register_policy
from thumbnet.config import TrainConfig
from thumbnet.errors import ConfigError
from thumbnet.recipes import load_recipe
from thumbnet.specs.policies import POLICIES

ALL = torch.ones(3, dtype=torch.bool)


def smooth_pictures(channels: int, height: int, width: int) -> UInt8[Tensor, "3 c h w"]:
    """Three blurred noise pictures: they have the low frequencies that photographs have, and their full range."""
    noise = np.random.default_rng(0).normal(size=(3, channels, height, width))
    pictures = gaussian_filter(noise, 1.5, axes=(2, 3))
    low, high = pictures.min(axis=(1, 2, 3), keepdims=True), pictures.max(axis=(1, 2, 3), keepdims=True)
    return torch.from_numpy(np.round((pictures - low) / (high - low) * 255).astype(np.uint8))


def test_lighting_is_brightness_then_contrast_then_warmth() -> None:
    images = torch.tensor([100, 60, 20], dtype=torch.uint8).view(1, 3, 1, 1).expand(3, 3, 1, 1)
    draws = {
        "selected": ALL,
        "brightness": torch.tensor([2.0, 1.0, 1.0]),
        "contrast": torch.tensor([1.0, 0.5, 1.0]),
        "warmth": torch.tensor([0.0, 0.0, 0.1]),
    }
    assert Lighting().apply(images, draws).flatten(1).tolist() == [[200, 120, 40], [80, 60, 40], [110, 60, 18]]
    grey = Lighting().apply(images[:, :1], draws).flatten().tolist()
    assert grey == [200, 100, 100]  # warmth is of colours


@pytest.mark.parametrize("shape", [(1, 12, 9), (3, 40, 30), (1, 1, 5)])
def test_blur_is_scipys(shape: tuple[int, int, int]) -> None:
    images = smooth_pictures(*shape)
    sigmas = (0.3, 0.8, 2.0) if min(shape[1:]) > 8 else (0.3, 0.3, 0.3)
    blurred = Blur().apply(images, {"selected": ALL, "sigma": torch.tensor(sigmas)})
    for image, sigma, ours in zip(images, sigmas, blurred, strict=True):
        expected = gaussian_filter(image.numpy(), sigma, axes=(1, 2), mode="mirror", output=np.float32)
        assert np.abs(ours.numpy() - expected).max() <= 0.51  # rounded


def test_a_wide_blur_is_nearly_a_gaussian() -> None:
    images = smooth_pictures(3, 100, 131)
    sigmas = (2.5, 5.0, 8.4)
    for image, sigma in zip(images, sigmas, strict=True):
        (blurred,) = Blur().apply(image[None], {"selected": ALL[:1], "sigma": torch.tensor([sigma])})
        expected = gaussian_filter(image.numpy(), sigma, axes=(1, 2), mode="mirror", output=np.float32)
        difference = np.abs(blurred.numpy() - expected)[:, 3:-3, 3:-3]
        assert difference.mean() < 0.08 * np.abs(image.numpy() - expected).mean()


def test_contrast_turns_about_the_mean_of_a_grid_on_larger_images() -> None:
    image = torch.randint(0, 200, (1, 1, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    whole, half = torch.ones(1), torch.full((1,), 0.5)
    draws = {"selected": ALL[:1], "brightness": whole, "contrast": half, "warmth": torch.zeros(1)}
    expected = image / 2 + image[:, :, ::2, ::2].float().mean() / 2
    assert (Lighting().apply(image, draws) - expected).abs().max() <= 0.51


@pytest.mark.parametrize("shape", [(1, 32, 32), (3, 32, 32), (3, 13, 20)])
def test_jpeg_is_pillows_without_subsampling(shape: tuple[int, int, int]) -> None:
    images = smooth_pictures(*shape)
    qualities = (95, 60, 25)
    compressed = Jpeg().apply(images, {"selected": ALL, "quality": torch.tensor(qualities)})
    steps = quantisation(torch.tensor(qualities))
    for image, quality, ours, tables in zip(images, qualities, compressed, steps, strict=True):
        file = io.BytesIO()
        pixels = image.permute(1, 2, 0).numpy()
        mode = pixels[:, :, 0] if len(image) == 1 else pixels
        Image.fromarray(mode).save(file, "JPEG", quality=quality, subsampling=0)
        with Image.open(file) as read:
            written = [sorted(table) for table in read.quantization.values()]  # type: ignore[attr-defined]
            expected = np.array(read).reshape(pixels.shape).astype(int)
        assert written == [sorted(table.flatten().int().tolist()) for table in tables[: len(written)]]
        difference = np.abs(ours.permute(1, 2, 0).numpy().astype(int) - expected)
        trace = np.abs(pixels.astype(int) - expected)
        assert difference.mean() < 0.35 * trace.mean()  # Pillow computes in whole numbers
        assert (difference > 2).mean() < 0.1  # a value that lies between two steps may fall to either


def test_noise_has_the_deviation_that_was_drawn_and_differs_between_images() -> None:
    images = torch.full((3, 3, 64, 64), 128, dtype=torch.uint8)
    draws = {
        "selected": ALL,
        "sigma": torch.tensor([0.02, 0.06, 0.0]),
        "start": torch.tensor([0, 2**20 - 7, 5]),  # the second one goes on at the beginning of the bank
    }
    noisy = Noise().apply(images, draws).float() - 128
    assert noisy[0].std() == pytest.approx(0.02 * 255, rel=0.05)
    assert noisy[1].std() == pytest.approx(0.06 * 255, rel=0.05)
    assert not noisy[2].any()
    assert abs(float(torch.corrcoef(noisy[:2].flatten(1))[0, 1])) < 0.05


def test_turns_are_numpys_and_images_that_are_not_square_keep_their_shape() -> None:
    images = smooth_pictures(3, 6, 6)
    turned = QuarterTurn().apply(images, {"quarters": torch.tensor([1, 0, 3])})
    for image, number, ours in zip(images, (1, 0, 3), turned, strict=True):
        assert np.array_equal(ours.numpy(), np.rot90(image.numpy(), number, axes=(1, 2)))
    quarters = QuarterTurn().draw(200, (3, 4, 6), torch.Generator().manual_seed(0))["quarters"]
    assert set(quarters.tolist()) == {0, 2}
    assert set(QuarterTurn().draw(200, (3, 6, 6), torch.Generator().manual_seed(0))["quarters"].tolist()) == {
        0,
        1,
        2,
        3,
    }
    upside_down = VerticalFlip().apply(images, {"selected": torch.tensor([True, False, True])})
    assert torch.equal(upside_down[0], images[0].flip(1))
    assert torch.equal(upside_down[1], images[1])


def test_a_teacher_is_refused_where_images_are_turned() -> None:
    for name in ("turns", "photo-flips"):
        with pytest.raises(ConfigError, match=f"a teacher is given, but augmentation is '{name}'") as caught:
            load_recipe(options={"teacher": "runs/1", "augmentation": name})
        assert "'photo'" in caught.value.hint
    assert isinstance(load_recipe(options={"teacher": "runs/1", "augmentation": "photo"}), TrainConfig)
    with POLICIES.scope():
        register_policy("mine", Policy(build=lambda mean: [RandomCrop(1), QuarterTurn()], begins_with_crop=True))
        with pytest.raises(ConfigError, match="says turns=False"):
            create_policy("mine", flip=False, mean=(0.5,))
