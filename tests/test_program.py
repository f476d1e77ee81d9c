"""Folded programs on NumPy alone agree with PyTorch: for any blocks, every model of the package, and pictures."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from thumbnet.data.batches import normalise
from thumbnet.errors import ImageError, ModelError, RunError
from thumbnet.evaluation.predictions import predict_logits
from thumbnet.models import program_numpy
from thumbnet.models.architecture import OF_MODELS, architecture_of
from thumbnet.models.blocknet import BlockNet
from thumbnet.models.pretrained import list_pretrained
from thumbnet.models.program import Program, equalised, fold
from thumbnet.models.program_numpy import ProgramRunner, run_program
from thumbnet.models.registry import create_model, resolved_options
from thumbnet.models.sprint import SprintNet
from thumbnet.runs.predict import predict
from thumbnet.trained.model import load_pretrained
from thumbnet.trained.shippable import load_pretrained_shippable

MEAN, STD = (0.4, 0.5, 0.6), (0.3, 0.2, 0.1)


def with_statistics(model: BlockNet) -> BlockNet:
    """The model in evaluation mode, every norm with scales, shifts and statistics of its own, some scales negative."""
    for norm in model.modules():
        if isinstance(norm, nn.BatchNorm2d):
            nn.init.normal_(norm.weight)
            nn.init.normal_(norm.bias)
            nn.init.normal_(norm.running_mean)
            nn.init.uniform_(norm.running_var, 0.1, 2)
    return model.eval()


def folded(model: BlockNet, image_shape: tuple[int, int, int]) -> Program:
    weights = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    channels = image_shape[0]
    return fold(model.architecture, weights, image_shape=image_shape, mean=MEAN[:channels], std=STD[:channels])


@pytest.mark.parametrize("model_class", [BlockNet, SprintNet])
@pytest.mark.parametrize(
    "blocks", ["c8 c8x2 c16p", "c8s c8 b8", "b8 b8 b16p b16d2", "b8s b8s b12sd2", "c8d3 c8d2 b8d3", "b8p b8p b8p b8p"]
)
@pytest.mark.parametrize(("in_channels", "height", "width"), [(3, 32, 32), (1, 13, 10), (3, 3, 5)])
def test_it_agrees_with_the_network(
    model_class: type[BlockNet], blocks: str, in_channels: int, height: int, width: int
) -> None:
    torch.manual_seed(0)
    model = with_statistics(model_class(blocks=blocks, in_channels=in_channels, num_classes=4))
    images = torch.randint(0, 256, (3, in_channels, height, width), dtype=torch.uint8)
    with torch.inference_mode():
        expected = model(normalise(images, MEAN[:in_channels], STD[:in_channels])).numpy()
    program = folded(model, (in_channels, height, width))
    ranges = {
        block.name: np.linspace(0, 3, len(block.filters), dtype=np.float32)
        for block in program.blocks
        if block.is_separable
    }
    for one in (program, equalised(program, ranges)):
        found = run_program(one, images.numpy())
        assert found.logits.dtype == np.float32
        np.testing.assert_allclose(found.logits, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())
        assert found.maps.shape[1:] == (*program.blocks[-1].out_shape[1:], program.blocks[-1].out_shape[0])


@pytest.mark.parametrize("blocks", ["b8 b16p b16d2 b16s", "c8s c16p c16"])
def test_threads_and_kept_buffers_change_nothing(blocks: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program_numpy, "CHUNK_VALUES", 30_000)  # a few images
    torch.manual_seed(0)
    program = folded(with_statistics(BlockNet(blocks=blocks, num_classes=4)), (3, 17, 20))
    images = np.random.default_rng(0).integers(0, 256, (23, 3, 17, 20), np.uint8)
    each = [ProgramRunner(program, num_threads=1).run(images[index : index + 1]) for index in range(len(images))]
    runner = ProgramRunner(program, num_threads=3)
    for start in (0, 5, 0):
        found = runner.run(images[start:])
        np.testing.assert_allclose(
            found.logits, np.concatenate([one.logits for one in each[start:]]), rtol=1e-4, atol=1e-4
        )
        np.testing.assert_allclose(found.maps, np.concatenate([one.maps for one in each[start:]]), rtol=1e-4, atol=1e-4)
    assert runner.run(images[:0]).logits.shape == (0, 4)
    with ThreadPoolExecutor(4) as pool:  # the runner itself may be shared
        found_at_once = list(pool.map(runner.run, [images] * 8))
    for result in found_at_once:
        np.testing.assert_array_equal(result.logits, found_at_once[0].logits)


@pytest.mark.parametrize("name", list_pretrained())
def test_every_model_of_the_package_agrees(name: str) -> None:
    images = torch.randint(0, 256, (4, 3, 32, 32), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    trained, shippable = load_pretrained(name), load_pretrained_shippable(name)
    expected = predict_logits(trained.model, images, mean=trained.card.mean, std=trained.card.std).numpy()
    assert shippable.program is not None
    np.testing.assert_allclose(run_program(shippable.program, images.numpy()).logits, expected, rtol=1e-4, atol=1e-4)


def test_too_small_an_image_is_refused() -> None:
    with pytest.raises(ModelError, match="3x2 pixels"):
        folded(BlockNet(), (3, 2, 3))


@pytest.mark.parametrize("name", OF_MODELS)
def test_the_architectures_known_without_pytorch_are_those_of_the_models(name: str) -> None:
    model = create_model(name)
    assert isinstance(model, BlockNet)
    assert architecture_of(name, resolved_options(name, {})) == model.architecture


@pytest.mark.parametrize("name", list_pretrained())
def test_pictures_are_predicted_alike(name: str, tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    paths = [tmp_path / f"{index}.png" for index in range(7)]
    for path in paths:
        height, width, grey = generator.integers((20, 20, 0), (60, 60, 2))
        pixels = generator.integers(0, 256, (height, width) if grey else (height, width, 3), np.uint8)
        Image.fromarray(pixels).save(path)
    found = predict(name, paths, num_top=10, batch_size=3)
    assert predict(name, []) == predict(load_pretrained(name), []) == []
    expected = predict(load_pretrained(name), paths, num_top=10)
    for one, other in zip(found, expected, strict=True):
        assert (one.path, one.class_name) == (other.path, other.class_name)
        assert [guess.probability for guess in one.top] == pytest.approx(
            [guess.probability for guess in other.top], abs=1e-4
        )
        assert sum(guess.probability for guess in one.top) == pytest.approx(1)


def test_what_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="tiny is neither a run folder nor a trained model"):
        predict("tiny", [tmp_path / "absent.png"])
    with pytest.raises(ImageError, match="there is no file"):
        predict("sprint", [tmp_path / "absent.png"])
