"""What is given in pixels is meant of images of 32 pixels a side, and grows with larger ones; old runs keep theirs."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from small_runs import small_config
from thumbnet.augment import Blur, CoarseDropout, HorizontalFlip, Policy, RandomCrop, create_policy, register_policy
from thumbnet.config import config_from_toml, config_to_toml, run_config_from_toml
from thumbnet.data.dataset import Dataset, Source, Split
from thumbnet.errors import ConfigError
from thumbnet.evaluation.corruptions import CORRUPTIONS, strengths_for
from thumbnet.evaluation.robustness_scoring import measure_robustness
from thumbnet.evaluation.tta import predict_tta
from thumbnet.specs.inputs import Inputs
from thumbnet.specs.policies import POLICIES, scaled
from thumbnet.training.inputs import build_augmentations, resolve_inputs

FLIP = HorizontalFlip()


def pictures(side: int, *, source: str = "cifar10", width: int | None = None) -> Dataset:
    """Six grey pictures of two classes."""
    images = torch.arange(6 * side * (width or side)).remainder(251).to(torch.uint8).view(6, 1, side, -1)
    split = Split(images, torch.tensor([0, 1, 0, 1, 0, 1]))
    return Dataset(split, None, split, ("a", "b"), (0.5,), (0.2,), True, Source(source, "made for a test"))


@pytest.mark.parametrize(
    ("side", "scales", "padding", "hole"), [(64, True, 8, 20), (32, True, 4, 10), (16, True, 2, 5), (64, False, 4, 10)]
)
def test_shifts_and_holes_grow_with_the_side(side: int, scales: bool, padding: int, hole: int) -> None:
    inputs = Inputs(augmentation="crop-flip", cutout=10, scale_pixels=scales)
    expected = (RandomCrop(padding), FLIP, CoarseDropout(hole, p=1.0, fill=(128,)))
    assert build_augmentations(inputs, pictures(side)) == expected
    draws = expected[0].draw(500, (1, side, side), torch.Generator().manual_seed(0))
    assert int(draws["top"].max()) == 2 * padding


def test_the_shorter_side_counts_and_nothing_becomes_less_than_a_pixel() -> None:
    crop, *_ = build_augmentations(Inputs(augmentation="shift2-flip"), pictures(48, width=200))
    assert crop == RandomCrop(3, "reflect")
    assert scaled(1, 0.25) == 1
    assert scaled(0, 7.0) == 0
    blur = create_policy("photo", flip=False, mean=(0.5,), unit=3.0)[2]
    assert isinstance(blur, Blur)
    assert blur.sigma == pytest.approx((0.9, 3.6))
    with POLICIES.scope():
        register_policy("mine", Policy(build=lambda mean: [RandomCrop(3)], begins_with_crop=True))
        assert build_augmentations(Inputs(augmentation="mine", flip=False), pictures(64)) == (RandomCrop(3),)


def test_corruptions_grow_with_the_side_and_are_todays_up_to_32() -> None:
    by_name = {corruption.name: corruption for corruption in CORRUPTIONS}
    for corruption in CORRUPTIONS:
        assert strengths_for(corruption, (32, 40)) is corruption.strengths
        assert strengths_for(corruption, (8, 8)) is corruption.strengths
        grows = corruption.name in ("blur", "pixelation", "shift")
        factor = 3 if grows else 1
        assert strengths_for(corruption, (128, 96)) == pytest.approx([factor * each for each in corruption.strengths])
    assert strengths_for(by_name["shift"], (48, 48)) == (2, 3, 6, 9, 12)  # whole pixels
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64 * 64, 2))
    rows = measure_robustness(model, pictures(64)).by_corruption()
    assert [row.strength for row in rows["shift"]] == [2, 4, 8, 12, 16]


def test_the_views_at_test_time_are_shifted_by_more_on_larger_images() -> None:
    class Corner(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones(1))

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return images[:, 0, :1, 0] * self.weight

    images = torch.zeros(1, 1, 96, 96, dtype=torch.uint8)
    images[0, 0, 3, 3] = 255  # three pixels from the corner: there in both shifted views, by reflection and by shift
    assert float(predict_tta(Corner(), images, mean=(0.0,), std=(1.0,), flip=False)) == pytest.approx(0.5)


@pytest.mark.parametrize(("source", "border"), [("folder:x", "reflect"), ("npz:x", "reflect"), ("cifar10", "policy")])
def test_own_pictures_are_reflected_at_the_border(source: str, border: str) -> None:
    dataset = pictures(32, source=source)
    resolved = resolve_inputs(Inputs(augmentation="crop-flip"), dataset)
    assert resolved.border == border
    (crop, _) = build_augmentations(resolved, dataset)
    assert crop == RandomCrop(4, "reflect" if border == "reflect" else "zero")
    assert resolve_inputs(Inputs(augmentation="crop-flip", border="policy"), dataset).border == "policy"
    with POLICIES.scope():  # a policy of the user's stays as it is, unless reflection is asked for
        register_policy("mine", Policy(build=lambda mean: [RandomCrop(3)], begins_with_crop=True))
        assert build_augmentations(Inputs(augmentation="mine"), dataset)[0] == RandomCrop(3)
        reflected = Inputs(augmentation="mine", border="reflect")
        assert build_augmentations(reflected, dataset)[0] == RandomCrop(3, "reflect")


def test_a_border_is_refused_where_the_augmentations_are_given_one_by_one() -> None:
    with pytest.raises(ConfigError, match="border 'reflect', but the augmentations are given one by one"):
        Inputs(augmentation=[RandomCrop(2)], border="reflect")


def test_an_old_run_keeps_its_pixels_and_its_border() -> None:
    config = small_config(Path("x.npz"), augmentation="crop-flip")
    lines = config_to_toml(config).splitlines()
    old = "\n".join(line for line in lines if not line.startswith(("scale_pixels", "border")))
    assert len(lines) == len(old.splitlines()) + 2
    kept = run_config_from_toml(old, name="config.toml").inputs
    assert (kept.scale_pixels, kept.border) == (False, "policy")
    dataset = pictures(64, source="npz:x")
    assert build_augmentations(kept, dataset) == (RandomCrop(4), FLIP)
    assert build_augmentations(config_from_toml(old, name="a recipe").inputs, dataset)[0] == RandomCrop(8, "reflect")
    assert run_config_from_toml(config_to_toml(config), name="config.toml") == config
