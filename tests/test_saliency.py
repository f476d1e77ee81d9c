"""Saliency: the closed form where a network ends in a global mean, Grad-CAM by hand where not, the model left alone."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from thumbnet.data.batches import normalise
from thumbnet.errors import ModelError
from thumbnet.evaluation.predictions import predict_logits
from thumbnet.evaluation.saliency import class_activation, saliency_maps
from thumbnet.models.registry import MODELS, create_model, list_models

GREY = {"mean": (0.0,), "std": (1 / 255,)}  # normalised images are then the grey levels themselves
COLOUR = {"mean": (0.5, 0.4, 0.3), "std": (0.25, 0.2, 0.3)}
END_IN_MEAN = [name for name in list_models() if name != "dilated"]


def noise(num_images: int, *shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (num_images, *shape), generator=generator, dtype=torch.uint8)


def trained_looking(name: str) -> nn.Module:
    """A model whose biases and statistics are not the zeros and ones that a new one has."""
    model = create_model(name, seed=0)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for tensor_name, tensor in model.state_dict().items():
            if tensor_name.endswith(("bias", "running_mean")):
                tensor.add_(torch.randn(tensor.shape, generator=generator))
    return model


@contextmanager
def entering(model: nn.Module, path: str) -> Iterator[list[Tensor]]:
    """What a module of the model is given, call by call."""
    given: list[Tensor] = []
    handle = model.get_submodule(path).register_forward_pre_hook(lambda _module, args: given.append(args[0]))
    yield given
    handle.remove()


class Net(nn.Module):
    """Two maps of a grey image x, 2x - 3 and 5 - x, which come out of `maps`, and what `end` makes of them."""

    head: nn.Linear
    side: nn.Conv2d
    relu: nn.ReLU
    skip: nn.Identity

    def __init__(self, end: Callable[[Net, Tensor], Tensor], **layers: nn.Module) -> None:
        super().__init__()
        self.maps = nn.Conv2d(1, 2, 1)
        with torch.no_grad():
            self.maps.weight.copy_(torch.tensor([2.0, -1.0]).view(2, 1, 1, 1))
            self.maps.bias.copy_(torch.tensor([-3.0, 5.0]))
        self.end = end
        for name, layer in {"head": linear(), **layers}.items():
            self.add_module(name, layer)

    def forward(self, images: Tensor) -> Tensor:
        return self.end(self, self.maps(images))


WEIGHT = torch.tensor([[1.0, 2.0], [3.0, -1.0], [-4.0, 0.5]])
BIAS = torch.tensor([0.5, -7.0, 2.0])


def linear() -> nn.Linear:
    layer = nn.Linear(2, 3)
    with torch.no_grad():
        layer.weight.copy_(WEIGHT)
        layer.bias.copy_(BIAS)
    return layer


def bare() -> Net:
    return Net(lambda net, maps: maps)


def pointwise() -> nn.Conv2d:
    layer = nn.Conv2d(2, 3, 1)
    with torch.no_grad():
        layer.weight.copy_(WEIGHT.view(3, 2, 1, 1))
        layer.bias.copy_(BIAS)
    return layer


@pytest.mark.parametrize("name", END_IN_MEAN)
def test_of_every_model_that_ends_in_a_mean_it_is_the_closed_form(name: str) -> None:
    model = trained_looking(name)
    images, classes = noise(5, 3, 20, 16), torch.tensor([0, 3, 9, 3, 1])
    found = class_activation(model, images, classes, **COLOUR, batch_size=3)
    assert found.kind == "cam"

    with entering(model, "pool") as given:
        logits = predict_logits(model, images, **COLOUR)
    weight = model.head.weight.detach().flatten(1)[classes]
    bias = torch.zeros(10) if model.head.bias is None else model.head.bias.detach()
    maps = torch.einsum("nm,nmhw->nhw", weight, given[0])
    scale = float(maps.abs().max())
    torch.testing.assert_close(found.maps, maps, rtol=1e-5, atol=1e-5 * scale)
    torch.testing.assert_close(found.bias, bias[classes], rtol=0, atol=1e-5 * scale)
    mean_and_bias = found.maps.mean(dim=(1, 2)) + bias[classes]
    torch.testing.assert_close(mean_and_bias, logits[range(5), classes], rtol=1e-5, atol=1e-5 * scale)


def test_the_published_network_does_not_end_in_a_global_mean() -> None:
    """Its pool leaves out the last two rows and columns of 22, so the maps' mean is not the logit."""
    model = trained_looking("dilated")
    images, classes = noise(2, 3, 32, 32), torch.tensor([1, 4])
    found = class_activation(model, images, classes, **COLOUR)
    assert (found.kind, found.layer, tuple(found.maps.shape)) == ("grad-cam", "stage3", (2, 22, 22))
    with entering(model, "pool") as given:
        predict_logits(model, images, **COLOUR)
    maps = torch.einsum("nm,nmhw->nhw", model.head.weight.detach().flatten(1)[classes], given[0])
    torch.testing.assert_close(found.maps, maps, rtol=1e-4, atol=1e-5 * float(maps.abs().max()))


@pytest.mark.parametrize("name", list_models())
def test_the_last_maps_are_weighted_and_every_size_has_some(name: str) -> None:
    layers = {"dilated": "stage3", "dilated-fixed": "stage3", "resnet8": "stages"}
    model, smallest = create_model(name, seed=0), MODELS[name].min_image_size
    for size in {max(smallest, 16), smallest}:
        found = class_activation(model, noise(1, 3, size, size), torch.tensor([1]), **COLOUR)
        assert max(found.maps.shape[1:]) > 1
        assert size < 16 or found.layer == layers.get(name, "blocks")


@pytest.mark.parametrize(
    ("model", "layer"),
    [
        (Net(lambda net, maps: net.head(maps.mean((2, 3)))), "maps"),
        (Net(lambda net, maps: net.head(F.adaptive_avg_pool2d(maps, 1).flatten(1))), "maps"),
        (Net(lambda net, maps: net.head(F.dropout(maps, 0.5, False).sum((2, 3)) / 12)), "dropout"),
        (nn.Sequential(bare(), nn.AvgPool2d((3, 4)), pointwise(), nn.Dropout(), nn.Flatten()), "0"),
        (nn.Sequential(bare(), nn.Dropout(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), linear()), "1"),
    ],
)
def test_a_global_mean_is_recognised_however_it_is_written(model: nn.Module, layer: str) -> None:
    images, classes = noise(4, 1, 3, 4), torch.tensor([2, 0, 1, 1])
    found = class_activation(model, images, classes, **GREY)
    assert (found.kind, found.layer) == ("cam", layer)
    grey = images[:, 0].float()
    maps = torch.stack([2 * grey - 3, 5 - grey], dim=1)
    torch.testing.assert_close(found.maps, torch.einsum("nm,nmhw->nhw", WEIGHT[classes], maps), rtol=1e-5, atol=1e-3)
    torch.testing.assert_close(found.bias, BIAS[classes], rtol=0, atol=1e-3)


def test_the_maps_may_come_from_a_function() -> None:
    def end(net: Net, maps: Tensor) -> Tensor:
        rectified = F.relu(maps - 100)
        net.skip(maps)  # passes earlier maps on, which are not the last for that
        return net.head(rectified.mean((2, 3)))

    model = Net(end, skip=nn.Identity())
    images, classes = noise(2, 1, 3, 4), torch.tensor([0, 2])
    found = class_activation(model, images, classes, **GREY)
    assert (found.kind, found.layer) == ("cam", "relu")
    grey = images[:, 0].float()
    maps = torch.stack([2 * grey - 103, -95 - grey], dim=1).clamp_min(0)
    torch.testing.assert_close(found.maps, torch.einsum("nm,nmhw->nhw", WEIGHT[classes], maps), rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize(
    "model",
    [
        Net(lambda net, maps: net.head(maps.mean((2, 3)) / 100).log_softmax(1)),
        Net(lambda net, maps: net.head(F.relu(maps.mean((2, 3)) - 200))),
        Net(lambda net, maps: net.head(maps.amax((2, 3)))),
        Net(lambda net, maps: net.head(maps[:, :, :2].mean((2, 3)))),
        Net(lambda net, maps: net.head((maps.mean((2, 3)) + maps[:, :, 0, 0]) / 2)),
    ],
)
def test_what_is_not_an_affine_function_of_the_maps_means_is_no_cam(model: Net) -> None:
    found = class_activation(model, noise(4, 1, 3, 4), torch.tensor([2, 0, 1, 1]), **GREY, layer="maps")
    assert found.kind == "grad-cam"


def test_a_path_around_the_maps_is_no_cam() -> None:
    class Bypass(Net):
        def forward(self, images: Tensor) -> Tensor:
            return super().forward(images) + images[:, 0, :1, 0]

    model = Bypass(lambda net, maps: net.head(maps.mean((2, 3))))
    assert class_activation(model, noise(4, 1, 3, 4), torch.tensor([2, 0, 1, 1]), **GREY).kind == "grad-cam"


def test_grad_cam_by_hand() -> None:
    """A linear layer on all positions: each map's weight is the sum of its positions' weights."""
    model = Net(lambda net, maps: maps.flatten(1) @ positions.T)
    positions = torch.tensor([[1.0, 0.0, 0.0, 0.0, 0.0, 0.0, -2.0, 0.0], [0.0, 0.0, 0.0, -1.0, 3.0, 0.0, 0.0, 1.0]])
    images = torch.tensor([[[[0, 1], [2, 10]]]], dtype=torch.uint8).repeat(2, 1, 1, 1)
    found = class_activation(model, images, torch.tensor([0, 1]), **GREY)
    # Maps [[-3, -1], [1, 17]] and [[5, 4], [3, -5]], weighted by 1 and -2, then by -1 and 4.
    expected = torch.tensor([[[-13.0, -9.0], [-5.0, 27.0]], [[23.0, 17.0], [11.0, -37.0]]])
    assert (found.kind, found.layer) == ("grad-cam", "maps")
    torch.testing.assert_close(found.maps, expected)
    drawn = saliency_maps(model, images, torch.tensor([0, 1]), **GREY)
    expected = torch.tensor([[[0.0, 0.0], [0.0, 1.0]], [[1.0, 17 / 23], [11 / 23, 0.0]]])
    torch.testing.assert_close(drawn.maps, expected)


def test_grad_cam_of_the_loglikelihood_by_hand() -> None:
    """The gradient of log p_c is the weight of c less the mean weight under p."""
    model = Net(lambda net, maps: net.head(maps.mean((2, 3)) / 100).log_softmax(1))
    images, classes = noise(3, 1, 4, 4), torch.tensor([0, 1, 2])
    probabilities = predict_logits(model, images, **GREY).exp()
    grey = images[:, 0].float()
    weights = (WEIGHT[classes] - probabilities @ WEIGHT) / 100
    expected = torch.einsum("nm,nmhw->nhw", weights, torch.stack([2 * grey - 3, 5 - grey], dim=1))
    found = class_activation(model, images, classes, **GREY)
    torch.testing.assert_close(found.maps, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))


def test_a_named_layer_gives_its_own_maps_although_the_next_works_in_place() -> None:
    model = nn.Sequential(bare(), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1), nn.Flatten(), linear())
    images = torch.tensor([[[[0, 1], [2, 10]]]], dtype=torch.uint8)
    named, last = (
        class_activation(model, images, torch.tensor([0]), **GREY, layer=layer) for layer in ("0.maps", None)
    )
    assert [(found.kind, found.layer) for found in (named, last)] == [("grad-cam", "0.maps"), ("cam", "1")]
    # Maps [[-3, -1], [1, 17]] and [[5, 4], [3, -5]]: the rectifier passes 2 of 4, then 3 of 4, positions on.
    assert named.maps[0].tolist() == [[-3 / 2 + 5 * 3 / 2, -1 / 2 + 4 * 3 / 2], [1 / 2 + 3 * 3 / 2, 17 / 2 - 5 * 3 / 2]]
    assert last.maps[0].tolist() == [[10.0, 8.0], [7.0, 17.0]]


@pytest.mark.parametrize(
    "end",
    [
        lambda net, maps: net.head(maps.mean((2, 3))) + net.side.weight.expand(1, 2, 3, 4).mean(),
        lambda net, maps: net.head(maps.reshape(-1, 1, 3, 4).mean((2, 3)).view(-1, 2)),
        lambda net, maps: (maps.flatten(2), net.head(maps.mean((2, 3))))[1],
    ],
)
def test_what_is_no_map_of_an_image_is_not_weighted(end: Callable[[Net, Tensor], Tensor]) -> None:
    """A tensor of as many axes that comes from parameters alone, or whose first axis is not the images'."""
    model = Net(end, side=nn.Conv2d(2, 1, 1, bias=False))
    found = class_activation(model, noise(1, 1, 3, 4), torch.tensor([0]), **GREY)
    assert (found.kind, found.layer) == ("cam", "maps")


def test_a_layer_called_twice_gives_its_last_maps() -> None:
    model = Net(lambda net, maps: net.head(net.relu(net.relu(maps) - 1).mean((2, 3))), relu=nn.ReLU())
    found = class_activation(model, noise(2, 1, 3, 4), torch.tensor([0, 1]), **GREY, layer="relu")
    assert (found.kind, found.layer) == ("cam", "relu")


def test_maps_are_as_large_as_the_images_and_scaled_one_by_one() -> None:
    model = create_model("sprint", seed=0)
    images, classes = noise(6, 3, 24, 40), torch.arange(6)
    raw = class_activation(model, images, classes, **COLOUR).maps
    found = saliency_maps(model, images, classes, **COLOUR).maps
    assert (found.shape, found.dtype, found.device.type) == ((6, 24, 40), torch.float32, "cpu")
    assert float(found.min()) == 0
    for before, after in zip(raw, found, strict=True):
        stretched = F.interpolate(before.clamp_min(0)[None, None], (24, 40), mode="bilinear", align_corners=False)[0, 0]
        torch.testing.assert_close(after, stretched / stretched.max())


def test_an_image_in_which_nothing_speaks_for_the_class_stays_black() -> None:
    """The maps of class 1 are 7x - 14, of class 2 14.5 - 8.5x."""
    model = Net(lambda net, maps: net.head(maps.mean((2, 3))))
    images = noise(1, 1, 3, 4).clamp_min(2).repeat(2, 1, 1, 1)
    some, none = saliency_maps(model, images, torch.tensor([1, 2]), **GREY).maps
    assert some.max() == 1
    assert none.tolist() == [[0.0] * 4] * 3


def test_no_image_gives_no_map() -> None:
    found = saliency_maps(create_model("sprint", seed=0), noise(0, 3, 32, 32), torch.arange(0), **COLOUR)
    assert (found.maps.shape, found.kind, found.layer) == ((0, 32, 32), "cam", "blocks")


@pytest.mark.parametrize(
    ("layer", "message", "hint"),
    [
        ("stages.3", "no layer 'stages.3'", r"choose one of stages\.1\.body, .*, stages\.2, stages \(the last of 29\)"),
        ("head", "layer 'head' gives no maps", "choose one of .*"),
        ("pool", "layer 'pool' gives no maps", "choose one of .*"),
        ("", "no layer ''", "choose one of .*"),
    ],
)
def test_a_layer_that_is_none_is_refused_with_those_there_are(layer: str, message: str, hint: str) -> None:
    with pytest.raises(ModelError, match=message) as caught:
        saliency_maps(create_model("resnet8", seed=0), noise(1, 3, 8, 8), torch.tensor([0]), **COLOUR, layer=layer)
    assert re.fullmatch(hint, caught.value.hint)


def test_what_cannot_be_explained_is_refused() -> None:
    images, classes = noise(2, 1, 3, 4), torch.tensor([0, 1])
    with pytest.raises(ModelError, match="no maps of more than one position"):
        saliency_maps(nn.Sequential(nn.Flatten(), nn.Linear(12, 2)), images, classes, **GREY)
    aside = Net(
        lambda net, maps: net.head(maps.mean((2, 3))) + 0 * net.side(maps).sum().detach(), side=nn.Conv2d(2, 1, 1)
    )
    with pytest.raises(ModelError, match="do not come from the maps of 'side'"):
        saliency_maps(aside, images, classes, **GREY, layer="side")
    with pytest.raises(ModelError, match="do not come from the maps of 'maps'"):
        saliency_maps(Net(lambda net, maps: maps.mean((2, 3)).detach()), images, classes, **GREY)
    broken = Net(lambda net, maps: net.head(maps.mean((2, 3))))
    nn.init.constant_(broken.maps.weight, float("nan"))
    with pytest.raises(ModelError, match="not all finite"):
        saliency_maps(broken, images, classes, **GREY)
    for label in (-1, 3):
        with pytest.raises(ModelError, match=f"class {label} is to be explained, but the model has 3"):
            saliency_maps(Net(lambda net, maps: net.head(maps.mean((2, 3)))), images, classes.fill_(label), **GREY)


def test_the_model_is_left_as_it_was_found() -> None:
    model = create_model("resnet8", seed=0).train()
    model.stages[0].eval()
    model.head.weight.requires_grad_(False)
    model(normalise(noise(4, 3, 16, 16), **COLOUR)).sum().backward()
    seen: list[int] = []
    model.pool.register_forward_hook(lambda *_: seen.append(1))
    before = copy.deepcopy(model)
    gradients = {
        name: None if tensor.grad is None else tensor.grad.clone() for name, tensor in model.named_parameters()
    }
    random_state = torch.get_rng_state()
    saliency_maps(model, noise(2, 3, 16, 16), torch.tensor([0, 1]), **COLOUR)
    assert [module.training for module in model.modules()] == [module.training for module in before.modules()]
    assert all(torch.equal(tensor, before.state_dict()[name]) for name, tensor in model.state_dict().items())
    for name, parameter in model.named_parameters():
        assert parameter.requires_grad is (name != "head.weight")
        assert (parameter.grad is None) is (gradients[name] is None)
        assert parameter.grad is None or torch.equal(parameter.grad, gradients[name])
    assert sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules()) == 1
    assert torch.equal(torch.get_rng_state(), random_state)


@pytest.mark.parametrize("size", [16, 4])
def test_inference_mode_around_it_or_around_the_model_changes_nothing(size: int) -> None:
    """Of 4 pixels the network's last maps are of one position: Grad-CAM at those before, through convolutions."""
    images, classes = noise(2, 3, size, size), torch.tensor([3, 7])
    outside = saliency_maps(create_model("resnet8", seed=0), images, classes, **COLOUR)
    assert outside.kind == ("cam" if size == 16 else "grad-cam")
    with torch.inference_mode():
        made_inside = create_model("resnet8", seed=0)
        inside = saliency_maps(made_inside, images.clone(), classes.clone(), **COLOUR)
        assert torch.is_inference_mode_enabled()
    with torch.no_grad():
        again = saliency_maps(made_inside, images, classes, **COLOUR)
        assert not torch.is_grad_enabled()
    for found in (inside, again):
        assert (found.kind, found.layer) == (outside.kind, outside.layer)
        assert torch.equal(found.maps, outside.maps)
        assert not found.maps.requires_grad


def test_a_salient_place_is_where_the_image_has_it() -> None:
    """A network that sees brightness, and a bright spot in one quarter of a dark image."""
    model = Net(lambda net, maps: net.head(F.avg_pool2d(maps, 2).mean((2, 3))))
    images = torch.zeros(1, 1, 8, 8, dtype=torch.uint8)
    images[0, 0, 4:6, 0:2] = 255
    (saliency,) = saliency_maps(model, images, torch.tensor([1]), **GREY).maps
    assert saliency[4:6, 0:2].min() > 0.5
    assert saliency[:3].max() == saliency[:, 4:].max() == 0
