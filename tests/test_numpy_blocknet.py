"""Networks on NumPy alone: they say what PyTorch's say, of any blocks, of every model of the package, of pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from thumbnet.errors import ImageError, ModelError
from thumbnet.models.blocknet import BlockNet
from thumbnet.models.numpy_blocknet import NumpyBlockNet
from thumbnet.models.pretrained import list_pretrained, load_numpy_blocknet
from thumbnet.models.registry import create_model
from thumbnet.models.sprint import SprintNet
from thumbnet.trained import numpy_predict as quick
from thumbnet.trained.model import load_pretrained, predict


def with_statistics(model: BlockNet) -> BlockNet:
    """The model in evaluation mode, every norm with scales, shifts and statistics of its own, some scales negative."""
    for norm in model.modules():
        if isinstance(norm, nn.BatchNorm2d):
            nn.init.normal_(norm.weight)
            nn.init.normal_(norm.bias)
            nn.init.normal_(norm.running_mean)
            nn.init.uniform_(norm.running_var, 0.1, 2)
    return model.eval()


def as_arrays(model: BlockNet) -> NumpyBlockNet:
    return NumpyBlockNet(model.architecture, {name: tensor.numpy() for name, tensor in model.state_dict().items()})


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
    images = torch.randn(3, in_channels, height, width)
    with torch.inference_mode():
        expected = model(images).numpy()
    found = as_arrays(model)(images.numpy())
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("name", list_pretrained())
def test_every_model_of_the_package_agrees(name: str) -> None:
    images = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = create_model(name, pretrained=True).eval()(images).numpy()
    np.testing.assert_allclose(load_numpy_blocknet(name)(images.numpy()), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", list_pretrained())
def test_pictures_are_predicted_alike(name: str, tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    paths = [tmp_path / f"{index}.png" for index in range(quick.BATCH_SIZE + 2)]
    for path in paths:
        height, width, grey = generator.integers((20, 20, 0), (60, 60, 2))
        pixels = generator.integers(0, 256, (height, width) if grey else (height, width, 3), np.uint8)
        Image.fromarray(pixels).save(path)
    found = quick.predict_pretrained(name, paths, num_top=10)
    assert quick.predict_pretrained(name, []) == predict(load_pretrained(name), []) == []
    expected = predict(load_pretrained(name), paths, num_top=10)
    for one, other in zip(found, expected, strict=True):
        assert (one.path, one.class_name) == (other.path, other.class_name)
        assert [guess.probability for guess in one.top] == pytest.approx(
            [guess.probability for guess in other.top], abs=1e-4
        )
        assert sum(guess.probability for guess in one.top) == pytest.approx(1)


def test_what_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no trained weights of 'tiny'"):
        quick.predict_pretrained("tiny", [tmp_path / "absent.png"])
    with pytest.raises(ImageError, match="there is no file"):
        quick.predict_pretrained("sprint", [tmp_path / "absent.png"])
