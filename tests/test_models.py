"""The models: `dilated` against a plain re-statement of the published table; sizes, options, seeds and gradients."""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from thumbnet.errors import ConfigError, ModelError
from thumbnet.models.registry import create_model, describe_models, list_models, num_params

# The published counts, in the order of the table in the design's seed.md.
CONVOLUTION_COUNTS = [864, 9216, 18432, 2048, 9216, 17856, 40176, 2304, 9216, 18432, 64, 5376, 63504, 840]
BATCH_NORM_COUNTS = [64, 64, 128, 64, 124, 144, 64, 128, 168, 168]
# A letter for each convolution of the table; "b" is one with a BatchNorm after it.
TABLE_ORDER = "bbb.bbb.bb.bb."


def unchecked_create_model(name: str, **arguments: Any) -> nn.Module:
    """As `create_model`, without the tests' check of annotations, which would refuse a wrong type first."""
    return inspect.unwrap(create_model)(name, **arguments)


def published_network(images: Tensor, parameters: Iterator[Tensor], statistics: Iterator[Tensor]) -> Tensor:
    """The table of seed.md up to the flatten, in evaluation mode, taking its tensors in the order of the table."""

    def convolution(maps: Tensor, *, padding: int = 0, dilation: int = 1, groups: int = 1) -> Tensor:
        return F.conv2d(maps, next(parameters), padding=padding, dilation=dilation, groups=groups)

    def normalised(maps: Tensor) -> Tensor:
        mean, variance, weight, bias = next(statistics), next(statistics), next(parameters), next(parameters)
        return F.batch_norm(F.relu(maps), mean, variance, weight, bias)

    def block(maps: Tensor, *, padding: int = 1, dilation: int = 1) -> Tensor:
        return normalised(convolution(maps, padding=padding, dilation=dilation))

    stem = block(images)
    maps = convolution(block(block(stem)))
    maps = F.relu(maps + stem)
    c1 = block(maps, padding=0, dilation=2)
    maps = convolution(block(block(c1)))
    maps = F.relu(maps + c1)
    c2 = block(maps, padding=0, dilation=2)
    maps = block(c2)
    maps = normalised(convolution(convolution(maps, padding=1, groups=64)))
    maps = block(maps, padding=0, dilation=2)
    assert maps.shape[2:] == (22, 22)
    maps = convolution(F.avg_pool2d(maps, kernel_size=20, stride=20))
    return maps.flatten(1)


def randomise(model: nn.Module, seed: int) -> None:
    """Random values for every tensor, of a size that keeps the maps near 1."""
    generator = torch.Generator().manual_seed(seed)

    def noise(like: Tensor) -> Tensor:
        return torch.randn(like.shape, generator=generator)

    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.Conv2d):
                module.weight.copy_(noise(module.weight) / math.sqrt(module.weight[0].numel()))
            if isinstance(module, nn.BatchNorm2d):
                assert module.running_mean is not None
                assert module.running_var is not None
                module.weight.copy_(noise(module.weight))
                module.bias.copy_(noise(module.bias))
                module.running_mean.copy_(noise(module.running_mean))
                module.running_var.copy_(noise(module.running_var).abs() + 0.1)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_dilated_equals_the_published_table(seed: int) -> None:
    model = create_model("dilated").eval()
    randomise(model, seed)
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(seed))
    parameters = iter(list(model.parameters()))
    statistics = iter([tensor for name, tensor in model.named_buffers() if "running" in name])
    with torch.no_grad():
        expected = published_network(images, parameters, statistics)
        assert (model(images) - expected).abs().max() <= 1e-5
    assert expected.std() > 0.01, "the comparison must be of values that differ"
    assert (next(parameters, None), next(statistics, None)) == (None, None), "the table uses every tensor"


def test_dilated_registers_its_parameters_in_the_order_of_the_table() -> None:
    convolutions, norms = iter(CONVOLUTION_COUNTS), iter(BATCH_NORM_COUNTS)
    expected: list[tuple[str, int]] = []
    for part in TABLE_ORDER:
        expected.append(("filter", next(convolutions)))
        if part == "b":
            expected += [("per channel", next(norms) // 2)] * 2
    found = [
        ("filter" if parameter.dim() == 4 else "per channel", parameter.numel())
        for parameter in create_model("dilated").parameters()
    ]
    assert found == expected
    assert (next(convolutions, None), next(norms, None)) == (None, None)
    assert sum(CONVOLUTION_COUNTS) + sum(BATCH_NORM_COUNTS) == num_params(create_model("dilated")) == 198_660


def test_dilated_state_holds_filters_and_batch_norms_only() -> None:
    model = create_model("dilated")
    expected = []
    for name, module in model.named_modules():
        if isinstance(module, nn.Conv2d):
            expected.append(f"{name}.weight")
        if isinstance(module, nn.BatchNorm2d):
            expected += [
                f"{name}.{key}" for key in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
            ]
    assert list(model.state_dict()) == expected
    assert len(expected) == len(CONVOLUTION_COUNTS) + 5 * len(BATCH_NORM_COUNTS)


def test_dilated_does_not_see_the_last_two_rows_and_columns_before_the_pool() -> None:
    model = create_model("dilated").eval()
    seen: list[Tensor] = []
    model.pool.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0].requires_grad_()))  # type: ignore[union-attr]
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    model(torch.randn(1, 3, 32, 32)).sum().backward()
    gradient = seen[0].grad
    assert gradient is not None
    assert gradient.shape[2:] == (22, 22)
    assert (gradient[..., 20:, :] == 0).all()
    assert (gradient[..., 20:] == 0).all()
    assert (gradient[..., :20, :20] != 0).any(dim=1).all()


def test_the_repaired_variant_filters_in_space_and_sees_the_whole_map() -> None:
    model = create_model("dilated-fixed").eval()
    assert num_params(model) == 199_172 < 200_000
    depthwise = next(
        module for module in model.modules() if isinstance(module, nn.Conv2d) and module.groups == module.in_channels
    )
    assert depthwise.kernel_size == (3, 3)
    images = torch.randn(1, 3, 32, 32, requires_grad=True)
    model(images).sum().backward()
    assert images.grad is not None
    assert (images.grad != 0).any(dim=1).all(), "every pixel counts"


@pytest.mark.parametrize("name", list_models())
@pytest.mark.parametrize("in_channels", [1, 3])
def test_every_model_learns_from_grey_and_colour(name: str, in_channels: int) -> None:
    model = create_model(name, num_classes=7, in_channels=in_channels, seed=0)
    logits = model(torch.randn(3, in_channels, 32, 32))
    assert logits.shape == (3, 7)
    F.cross_entropy(logits, torch.tensor([0, 3, 6])).backward()
    for key, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        assert parameter.grad is not None, key
        assert parameter.grad.isfinite().all(), key
        assert parameter.grad.abs().sum() > 0, key


@pytest.mark.parametrize("name", list_models())
@settings(deadline=None, max_examples=8)
@given(num_classes=st.integers(2, 1000))
def test_any_number_of_classes(name: str, num_classes: int) -> None:
    model = create_model(name, num_classes=num_classes).eval()
    with torch.no_grad():
        assert model(torch.zeros(1, 3, 32, 32)).shape == (1, num_classes)


@pytest.mark.parametrize(
    ("name", "min_size", "max_size"), [("dilated", 30, 49), ("dilated-fixed", 13, None), ("resnet8", 4, None)]
)
def test_sizes_are_taken_or_refused(name: str, min_size: int, max_size: int | None) -> None:
    largest = max_size or 70
    for height, width in [(min_size, min_size), (largest, largest), (min_size, largest)]:
        model = create_model(name, image_size=max(height, width)).eval()
        with torch.no_grad():
            assert model(torch.zeros(1, 3, height, width)).shape == (1, 10)
    model = create_model(name)
    for size in [min_size - 1, *([max_size + 1] if max_size else [])]:
        with pytest.raises(ModelError, match=f"not {size}") as caught:
            create_model(name, image_size=size)
        assert "image_size" in caught.value.hint
        for height, width in [(size, 32), (32, size)]:
            with pytest.raises(ModelError, match=f"the images are {width}x{height} pixels") as caught:
                model(torch.zeros(1, 3, height, width))
            assert "image_size" in caught.value.hint


@pytest.mark.parametrize("name", list_models())
def test_images_of_other_channels_are_refused(name: str) -> None:
    with pytest.raises(ModelError, match="1 channels, but this model was made for 3"):
        create_model(name)(torch.zeros(1, 1, 32, 32))


def test_wrong_arguments_are_refused_with_a_hint() -> None:
    with pytest.raises(ModelError, match="unknown model 'dilatd'") as caught:
        create_model("dilatd")
    assert "dilated" in caught.value.hint
    with pytest.raises(ModelError, match="no option 'dropuot'") as caught:
        create_model("dilated", dropuot=0.1)
    assert "dropout" in caught.value.hint
    with pytest.raises(ModelError, match="no option 'dropout'"):
        create_model("resnet8", dropout=0.1)
    with pytest.raises(ModelError, match=r"dropout.*1\.5"):
        create_model("dilated", dropout=1.5)
    with pytest.raises(ModelError, match="in_channels is 2"):
        create_model("dilated", in_channels=2)


@pytest.mark.parametrize("num_classes", [1, 0, -3, 2.0, 10.5, "10", None, True])
def test_other_numbers_of_classes_than_integers_from_2_are_refused(num_classes: Any) -> None:
    with pytest.raises(ConfigError, match=f"^num_classes is {num_classes!r}") as caught:
        unchecked_create_model("resnet8", num_classes=num_classes)
    assert "at least 2" in caught.value.hint


@pytest.mark.parametrize("seed", [-1, 2**64, 1.0, "1", True])
def test_other_seeds_than_integers_of_64_bits_are_refused(seed: Any) -> None:
    before = torch.get_rng_state()
    with pytest.raises(ConfigError, match=f"^seed is {seed!r}") as caught:
        unchecked_create_model("resnet8", seed=seed)
    assert "0 to 2^64 - 1" in caught.value.hint
    assert torch.equal(torch.get_rng_state(), before)


def test_numpys_integers_are_integers() -> None:
    plain = create_model("resnet8", num_classes=3, seed=2**64 - 1).state_dict()
    numpys = unchecked_create_model("resnet8", num_classes=np.int64(3), seed=np.uint64(2**64 - 1)).state_dict()
    assert all(torch.equal(plain[key], numpys[key]) for key in plain)


def test_dropout_is_obeyed_everywhere() -> None:
    rates = {module.p for module in create_model("dilated", dropout=0.3).modules() if isinstance(module, nn.Dropout)}
    assert rates == {0.3}
    assert {module.p for module in create_model("dilated").modules() if isinstance(module, nn.Dropout)} == {0.05}


@pytest.mark.parametrize("name", list_models())
def test_a_seed_gives_the_same_weights_and_leaves_the_global_generator_alone(name: str) -> None:
    before = torch.get_rng_state()
    first, again, other = (create_model(name, seed=seed).state_dict() for seed in (5, 5, 6))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not all(torch.equal(first[key], other[key]) for key in first)
    unseeded = [create_model(name).state_dict() for _ in range(2)]
    assert not all(torch.equal(unseeded[0][key], unseeded[1][key]) for key in first)


def test_a_seed_leaves_the_gpus_generators_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    reseeded: list[int] = []
    monkeypatch.setattr(torch.cuda, "manual_seed_all", reseeded.append)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
    assert len(reseeded) == 1, "PyTorch still reseeds GPUs this way"
    create_model("resnet8", seed=5)
    assert len(reseeded) == 1


def test_models_are_described() -> None:
    infos = describe_models()
    assert [info.name for info in infos] == list_models()
    assert {info.name: info.num_params for info in infos} == {
        "dilated": 198_660,
        "dilated-fixed": 199_172,
        "resnet8": 78_186,
        "sprint": 194_464,
        "sprint-long": 190_752,
        "thumb-20k": 19_216,
        "thumb-50k": 46_592,
        "thumb-100k": 97_280,
        "thumb-200k": 188_896,
    }
    assert all(info.description.endswith(".") and info.num_params < 200_000 for info in infos)
