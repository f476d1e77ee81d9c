"""Trained weights behind another stem: the blocks as they are, the first filters spread, or refused with a reason."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from thumbnet.config import TrainConfig
from thumbnet.data.dataset import Dataset
from thumbnet.errors import ConfigError
from thumbnet.models.blocknet import BlockNet
from thumbnet.models.pretrained import list_pretrained
from thumbnet.models.registry import create_model
from thumbnet.models.trunk import load_trunk, spread
from thumbnet.recipes import load_recipe
from thumbnet.runs.init import begin_with_trained_weights, options_to_train
from thumbnet.runs.parts import build_model
from thumbnet.specs.optimizers import Muon
from thumbnet.trained.model import load_pretrained
from thumbnet.training.optimizers import build_optimizer


@pytest.mark.parametrize("before", [2, 3])
@pytest.mark.parametrize("after", [2, 3, 4, 7, 8])
def test_spread_filters_answer_alike_to_flat_patches_and_to_slopes(before: int, after: int) -> None:
    filters = torch.randn(5, 2, before, before, dtype=torch.float64)
    larger = spread(filters, after)
    torch.testing.assert_close(larger.sum((2, 3)), filters.sum((2, 3)))
    assert larger.shape == (5, 2, after, after)
    if after == before:
        torch.testing.assert_close(larger, filters)


def test_on_a_picture_of_twice_the_size_the_network_is_the_trained_one() -> None:
    torch.manual_seed(0)
    trained = load_pretrained("sprint").model
    assert isinstance(trained, BlockNet)
    model = create_model("sprint", stem="w4s2t").eval()
    assert isinstance(model, BlockNet)
    load_trunk(model, trained, trained.state_dict())
    images = torch.randn(2, 3, 32, 32)
    with torch.inference_mode():
        model.head.weight.copy_(trained.head.weight)
        found = model(images.repeat_interleave(2, 2).repeat_interleave(2, 3))
        torch.testing.assert_close(found, trained(images), rtol=1e-4, atol=1e-4)


def test_blocks_may_come_before_the_trained_ones() -> None:
    trained, model = BlockNet(blocks="b8 b8p"), BlockNet(blocks="b24s b8 b8p", stem="w3s2")
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    load_trunk(model, trained, trained.state_dict())
    after, theirs = model.state_dict(), trained.state_dict()
    for name in after:
        _, _, rest = name.partition("blocks.")
        index = int(rest[0]) if rest else 0
        if index > 0:
            torch.testing.assert_close(after[name], theirs[f"blocks.{index - 1}{rest[1:]}"])
        else:
            torch.testing.assert_close(after[name], before[name])  # the head, the new block, and the new stem


def begun(dataset: Dataset, **changes: object) -> tuple[TrainConfig, BlockNet]:
    """A config that begins with trained weights, resolved, and its model with these."""
    config = load_recipe(str(changes.pop("recipe", "sprint"))).replace(**changes)
    config = config.replace(
        model_options=options_to_train(config, sides=dataset.image_shape[1:], num_channels=dataset.num_channels)
    )
    model = build_model(config, dataset)
    begin_with_trained_weights(model, config, dataset)
    assert isinstance(model, BlockNet)
    return config, model


def dataset_of(dataset: Dataset, side: int) -> Dataset:
    """The same images in colour, so large."""
    images = dataset.in_colour().train.images.repeat_interleave(side // 8 + 1, 2)[:, :, :side]
    images = images.repeat_interleave(side // 8 + 1, 3)[..., :side].contiguous()
    split = type(dataset.train)(images, dataset.train.labels)
    whole = dataset.in_colour()
    return type(whole)(split, None, split, whole.class_names, whole.mean, whole.std, True, whole.source)


def test_a_larger_stem_before_trained_weights_is_trained(tiny_dataset: Dataset) -> None:
    dataset = dataset_of(tiny_dataset, 64)
    config, model = begun(dataset, init="sprint")
    assert config.model_options["stem"] == "w4s2t"
    trained = load_pretrained("sprint").model
    assert model.state_dict()["blocks.5.conv.weight"].equal(trained.state_dict()["blocks.5.conv.weight"])
    torch.testing.assert_close(model.whiten.weight.sum((2, 3)), trained.whiten.weight.sum((2, 3)))
    assert model.whiten.weight.requires_grad
    assert begun(dataset_of(tiny_dataset, 32), init="sprint")[0].model_options["stem"] == "w2"
    given, model = begun(dataset, init="sprint", model_options={"stem": "w4s2"})
    assert given.model_options["stem"] == "w4s2"
    assert not model.whiten.weight.requires_grad


def test_every_trunk_of_the_package_fits_behind_a_larger_stem_but_one_for_224_pixels(tiny_dataset: Dataset) -> None:
    for name in list_pretrained():
        side = 224 if name in ("sprint", "thumb-100k") else 96
        begun(dataset_of(tiny_dataset, side), recipe=name, init=name)
    with pytest.raises(ConfigError, match="take maps of 24 channels, and what comes before them gives 16") as caught:
        begun(dataset_of(tiny_dataset, 224), recipe="thumb-20k", init="thumb-20k")
    assert "image_size" in caught.value.hint


@pytest.mark.parametrize(
    ("stem", "expected"),
    [
        ("w4s2", ["w2", "w4s2", "w8s4t"]),
        ("w4s2t", ["w2", "w4s2t", "w8s4t"]),
        ("w2", ["w2", "w2", "w8s4t"]),  # by a plan with finer maps
    ],
)
def test_the_stem_of_a_run_on_images_as_large_is_kept(
    stem: str, expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = load_pretrained("sprint")
    blocks = trained.card.architecture.blocks  # type: ignore[union-attr]
    card = replace(trained.card, model_options={"blocks": blocks, "stem": stem}, image_shape=(3, 64, 64))
    monkeypatch.setattr("thumbnet.runs.init.load_trained", lambda _: replace(trained, card=card))
    config = load_recipe("sprint", options={"init": "a run"})
    found = [options_to_train(config, sides=(side, side), num_channels=3)["stem"] for side in (32, 64, 128)]
    assert found == expected


def test_a_grey_stem_that_is_trained_is_moved_as_filters_are() -> None:
    model = BlockNet(blocks="c16 b16", stem="w4s2t", in_channels=1)
    groups = build_optimizer(Muon(lr=0.1, bias_lr=1.2, bias_momentum=0.85, head_lr=0.5), model).param_groups
    assert any(parameter is model.whiten.weight for parameter in groups[0]["params"])
    assert sum(len(group["params"]) for group in groups) == sum(
        parameter.requires_grad for parameter in model.parameters()
    )
