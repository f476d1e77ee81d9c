"""The first convolution of networks of blocks: what its word means, which one an image size gets, what that costs."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pytest
import torch

from test_program import MEAN, STD, folded, with_statistics
from thumbnet.data.batches import normalise
from thumbnet.data.dataset import Dataset
from thumbnet.errors import ModelError
from thumbnet.evaluation.predictions import batch_size_for, predict_logits
from thumbnet.export.tflite.rounding import moments_of_pixels
from thumbnet.models.architecture import OF_MODELS, STEMS, Architecture, StemLayer, parse_stem, stem_for
from thumbnet.models.blocknet import BlockNet
from thumbnet.models.card import card_from_dict, card_to_dict
from thumbnet.models.pretrained import read_pretrained_card
from thumbnet.models.program_numpy import run_program
from thumbnet.models.registry import check_image_size, create_model, num_params, register_model, resolved_options
from thumbnet.models.sprint import SprintNet
from thumbnet.models.trace import trace_model
from thumbnet.models.whitening import Whitening
from thumbnet.recipes import load_recipe
from thumbnet.runs.init import options_to_train
from thumbnet.trained.model import load_pretrained
from thumbnet.training.inputs import init_model_from_data

SIDES = (16, 32, 48, 64, 96, 128, 160, 224)
LIMITS = {
    "sprint": 200_000,
    "sprint-long": 200_000,
    "thumb-20k": 20_000,
    "thumb-50k": 50_000,
    "thumb-100k": 100_000,
    "thumb-200k": 200_000,
}


def test_a_word_names_a_stem() -> None:
    assert parse_stem("w2") == StemLayer()
    assert parse_stem("w4s2") == StemLayer(4, 2)
    assert parse_stem("w8s7c16t") == StemLayer(8, 7, 16, trains=True)
    assert [StemLayer().num_channels(channels) for channels in (1, 3)] == [8, 24]
    assert [StemLayer(3).num_channels(channels) for channels in (1, 3)] == [18, 24]
    assert parse_stem("w2c24").num_channels(1) == 24


@pytest.mark.parametrize("word", ["", "w", "2", "w3x", "W2", "w1", "w17", "w3s4", "w3s0", "w2c3", "w2c0", "w2tc4"])
def test_other_stems_are_refused(word: str) -> None:
    with pytest.raises(ModelError, match="stem") as caught:
        BlockNet(stem=word)
    assert caught.value.hint


def test_the_usual_stem_is_the_layer_it_always_was() -> None:
    torch.manual_seed(0)
    images = torch.randn(20, 3, 9, 9)
    one, other = BlockNet(blocks="c8", stem="w2").whiten, Whitening(3, padding=1)
    for layer in (one, other):
        layer.init_from_data(images)
    assert (one.kernel_size, one.stride, one.padding, one.out_channels) == ((2, 2), (1, 1), (1, 1), 24)
    assert torch.equal(one.weight, other.weight)
    assert SprintNet(blocks="c8").whiten.padding == (0, 0)
    assert not one.weight.requires_grad


def test_a_larger_stem_whitens_the_directions_of_greatest_variance() -> None:
    torch.manual_seed(0)
    mixing = torch.linalg.qr(torch.randn(48, 48))[0] * torch.logspace(0, -2, 48)
    patches = torch.randn(4000, 48) @ mixing.T
    model = BlockNet(stem="w4s4t", blocks="c8")
    assert model.whiten.weight.requires_grad
    assert model.whiten.padding == (2, 2)
    model.init_from_data(patches.view(-1, 3, 4, 4))
    filters = model.whiten.weight.detach().flatten(1)
    assert torch.equal(filters[:12], -filters[12:])
    maps = patches @ filters[:12].T
    torch.testing.assert_close(maps.T @ maps / len(maps), torch.eye(12), atol=0.06, rtol=0)
    directions = filters[:12] / filters[:12].norm(dim=1, keepdim=True)
    leading = mixing[:, :12] / mixing[:, :12].norm(dim=0)
    assert (directions @ leading).abs().diagonal().min() > 0.8


def test_more_channels_than_directions_repeat_these() -> None:
    layer = Whitening(1, out_channels=24)
    layer.init_from_data(torch.randn(50, 1, 8, 8))
    torch.testing.assert_close(layer.weight[:4], layer.weight[4:8])
    torch.testing.assert_close(layer.weight[:4], -layer.weight[12:16])


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("name", OF_MODELS)
@pytest.mark.parametrize("in_channels", [1, 3])
def test_every_size_keeps_the_limits_of_parameters_and_cost(name: str, side: int, in_channels: int) -> None:
    options = resolved_options(name, {}, sides=(side, side))
    model = create_model(name, image_size=side, in_channels=in_channels, **options)
    usual = create_model(name, in_channels=in_channels)
    assert num_params(model) <= LIMITS[name]
    macs, at_32 = (folded(each, (in_channels, length, length)).macs for each, length in ((model, side), (usual, 32)))
    assert macs <= 6 * at_32
    assert (options == resolved_options(name, {})) == (side <= 56)


def test_the_programs_macs_are_those_of_the_trace() -> None:
    model = create_model("thumb-20k", **resolved_options("thumb-20k", {}, sides=(224, 224)))
    assert folded(model, (3, 224, 224)).macs == trace_model(model, (3, 224, 224)).macs


def test_shapes_that_are_not_square_count_by_their_area() -> None:
    assert stem_for("sprint", (32, 98)) == ("w2", "")
    assert stem_for("sprint", (96, 128)) == ("w4s2", "")
    assert stem_for("thumb-20k", (160, 220)) == ("w4s4c16", "")
    assert stem_for("thumb-20k", (180, 224)) == ("w4s4c16", "b16s")
    assert stem_for("resnet8", (224, 224)) == ("w2", "")
    assert set(STEMS) == set(OF_MODELS)


def test_what_is_given_is_kept() -> None:
    for given in ({"stem": "w2"}, {"blocks": "c8"}):
        options = resolved_options("sprint", given, sides=(224, 224))
        assert options == resolved_options("sprint", given)
        assert options.items() >= given.items()
    assert resolved_options("dilated", {}, sides=(64, 64)) == {"dropout": 0.05}


def test_a_network_of_ones_own_keeps_its_options_of_the_same_names(
    own_things: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Own(BlockNet):
        default_blocks = "c8"
        default_stem = "w3s3"

    register_model("own-blocks", Own)
    assert resolved_options("own-blocks", {}, sides=(224, 224)) == {"blocks": "c8", "stem": "w3s3"}
    trained = load_pretrained("sprint")
    monkeypatch.setattr("thumbnet.runs.init.load_trained", lambda _: trained)
    config = load_recipe("sprint", options={"model": "own-blocks", "init": "sprint"})
    assert options_to_train(config, sides=(224, 224), num_channels=3) == {"blocks": "c8", "stem": "w3s3"}


def test_twice_the_side_gives_maps_as_large_as_those_of_32_pixels() -> None:
    for kind in (BlockNet, SprintNet):
        usual, larger = kind(blocks="c8"), kind(blocks="c8", stem="w4s2")
        assert larger.whiten(torch.zeros(1, 3, 64, 48)).shape == usual.whiten(torch.zeros(1, 3, 32, 24)).shape


@pytest.mark.parametrize(
    ("stem", "shape"),
    [("w4s2", (3, 24, 32)), ("w8s4", (1, 33, 40)), ("w7s7", (3, 50, 62)), ("w3s2", (3, 5, 6)), ("w6s6", (3, 40, 29))],
)
@pytest.mark.parametrize("kind", [BlockNet, SprintNet])
def test_the_folded_program_agrees(kind: type[BlockNet], stem: str, shape: tuple[int, int, int]) -> None:
    torch.manual_seed(0)
    model = with_statistics(kind(blocks="c8s b8 b12p", stem=stem, in_channels=shape[0], num_classes=4))
    images = torch.randint(0, 256, (3, *shape), dtype=torch.uint8)
    with torch.inference_mode():
        expected = model(normalise(images, MEAN[: shape[0]], STD[: shape[0]])).numpy()
    program = folded(model, shape)
    assert program.stem.stride == parse_stem(stem).stride
    found = run_program(program, images.numpy()).logits
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


def test_images_without_room_for_two_patches_are_refused() -> None:
    model = BlockNet(stem="w8s4")
    with pytest.raises(ModelError, match="at least 12"):
        model(torch.zeros(1, 3, 11, 20))
    with pytest.raises(ModelError, match="at least 12"):
        folded(model, (3, 11, 20))
    with pytest.raises(ModelError, match="at least 12"):
        create_model("sprint", image_size=(20, 11), stem="w8s4")
    check_image_size("sprint", 12, {"stem": "w8s4"})


def test_filters_of_another_size_than_the_stem_are_refused() -> None:
    model = BlockNet(blocks="c8")
    model.architecture = Architecture("c8", 1, True, "w4s2")
    with pytest.raises(ModelError, match="2x2 pixels, but the stem is w4s2"):
        folded(model, (3, 32, 32))


def test_a_card_keeps_the_stem_and_one_without_has_the_usual_one() -> None:
    values = read_pretrained_card("sprint")
    assert "stem" not in values["architecture"]
    card = card_from_dict(values, name="it")
    assert card.architecture == Architecture("c32s c32 c64p c64 c80p c104", 0, False, "w2")
    assert card_to_dict(card)["architecture"] == values["architecture"]
    values["architecture"] = asdict(Architecture("c8s", 0, False, "w4s2"))
    again = card_from_dict(card_to_dict(card_from_dict(values, name="it")), name="it")
    assert again.architecture == Architecture("c8s", 0, False, "w4s2")


def test_directions_that_no_filter_sees_count_as_the_least_of_those_seen() -> None:
    directions = np.linalg.qr(np.random.default_rng(0).normal(size=(12, 12)))[0]
    deviations = np.linspace(2, 1, 12)
    whitening = directions / deviations[:, None]
    moments = moments_of_pixels(np.concatenate([whitening[:6], -whitening[:6]]).reshape(12, 3, 2, 2))
    found = np.einsum("id,de,ie->i", directions, moments, directions)
    seen = deviations[:6] ** 2 / 2
    np.testing.assert_allclose(found, [*seen, *[seen[-1]] * 6], rtol=1e-6)


def test_large_images_come_in_smaller_batches_and_small_ones_as_before() -> None:
    sides = ((8, 8), (64, 64), (96, 128), (224, 224), (2048, 2048))
    assert [batch_size_for(torch.empty(1, 1, *each, dtype=torch.uint8)) for each in sides] == [250, 250, 83, 20, 1]
    model = create_model("thumb-20k", stem="w8s4")
    seen: list[int] = []
    model.register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0])))
    predict_logits(model, torch.zeros(21, 3, 224, 224, dtype=torch.uint8), mean=MEAN, std=STD)
    assert seen == [20, 1]


def test_a_sample_of_large_images_has_no_more_pixels(tiny_dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("thumbnet.training.inputs.SAMPLE_PIXELS", 30 * 12 * 12)
    model, seen = BlockNet(blocks="c8"), []
    monkeypatch.setattr(model, "init_from_data", lambda images: seen.append(len(images)))
    init_model_from_data(model, tiny_dataset, seed=0)
    assert seen == [30]
