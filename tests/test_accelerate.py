"""`thumbnet.accelerate`: a network of a user's own gives what it gave, and its convolutions run through our kernels.

`ran` counts the convolutions that our kernels did: a test that only compared results could pass without them.
"""

from __future__ import annotations

import copy
import inspect
import io
import pickle
import threading
import warnings
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations, parametrize
from torch.utils.checkpoint import checkpoint
from torch.utils.data import DataLoader, Dataset
from torch.utils.flop_counter import FlopCounterMode

import thumbnet
from fitting import fit_flat
from kernel_builds import FLAGS
from thumbnet.errors import ConfigError
from thumbnet.kernels import accelerate as accelerate_module
from thumbnet.kernels import convolution_choice, layer, warnings_once
from thumbnet.kernels.compiler import can_compile
from thumbnet.kernels.library import load_kernels
from thumbnet.specs.fine_tuning import FineTuning

pytestmark = pytest.mark.skipif(not can_compile(), reason="no compiler for our kernels here")


class Net(nn.Module):
    """A user's: two of its four convolutions suit the kernels; it flattens by `view`, which needs PyTorch's order."""

    def __init__(self, size: int = 8) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 12, 3, padding=1)
        self.wide = nn.Conv2d(12, 24, 3, padding="same", bias=False)
        self.norm = nn.BatchNorm2d(24)
        self.dilated = nn.Conv2d(24, 16, 3, dilation=2)
        self.point = nn.Conv2d(16, 8, 1)
        self.head = nn.Linear(8 * (size - 4) ** 2, 3)

    def forward(self, images: Tensor) -> Tensor:
        maps = F.relu(self.norm(self.wide(F.relu(self.stem(images)))))
        maps = self.point(F.relu(self.dilated(maps)))
        return self.head(maps.contiguous().view(images.shape[0], -1))


@pytest.fixture(autouse=True)
def ran(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """The shapes of the maps that went through our kernels, which are compiled as this run of the tests wants."""
    shapes: list[tuple[int, ...]] = []
    convolve = layer.convolve

    def counted(kernels: object, maps: Tensor, *arguments: object, **options: object) -> Tensor:
        shapes.append(tuple(maps.shape))
        return convolve(kernels, maps, *arguments, **options)

    monkeypatch.setattr(layer, "convolve", counted)
    for module in (accelerate_module, layer):
        monkeypatch.setattr(module, "load_kernels", lambda: load_kernels(FLAGS))
    monkeypatch.setattr(convolution_choice, "has_bfloat16_tiles", lambda: False)
    monkeypatch.setattr(convolution_choice, "has_avx512", lambda: False)
    monkeypatch.setattr(convolution_choice, "MIN_TILES", 1)  # small maps are enough to test with
    monkeypatch.setattr(convolution_choice, "MIN_IMAGES", 1)
    monkeypatch.setattr(convolution_choice, "MIN_GAIN", 0)
    return shapes


def test_few_images_are_left_to_pytorch(ran: list[object], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    weight = torch.zeros(16, 16, 3, 3)
    assert not convolution_choice.is_taken(torch.zeros(1, 16, 64, 64), weight, padding=1, dilation=1)
    assert not convolution_choice.is_taken(torch.zeros(9, 16, 8, 8), weight, padding=1, dilation=1)
    assert convolution_choice.is_taken(torch.zeros(10, 16, 8, 8), weight, padding=1, dilation=1)
    assert convolution_choice.is_taken(torch.zeros(40, 16, 2, 3), weight, padding=1, dilation=1)


@pytest.fixture
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def pair(make: Callable[[], nn.Module] = Net) -> tuple[nn.Module, nn.Module]:
    """The same network twice, the first one accelerated."""
    torch.manual_seed(0)
    plain = make()
    return thumbnet.accelerate(copy.deepcopy(plain)), plain


def conv(in_channels: int = 8, out_channels: int = 16, **options: object) -> nn.Conv2d:
    return nn.Conv2d(in_channels, out_channels, 3, padding=1, **options)


def images_of(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


def check_close(one: Tensor, other: Tensor, *, within: float = 2e-5) -> None:
    assert one.dtype == other.dtype
    assert one.shape == other.shape
    scale = max(float(other.detach().abs().max()), 1e-30)
    assert float((one - other).detach().abs().max()) <= within * scale


def step(model: nn.Module, maps: Tensor) -> list[Tensor]:
    """The result, and the gradients of the maps and of all parameters."""
    maps = maps.detach().requires_grad_()
    result = model(maps)
    torch.manual_seed(2)
    found = torch.autograd.grad(result, [maps, *model.parameters()], torch.randn(result.shape).to(result.dtype))
    return [result, *found]


def check_same(one: nn.Module, other: nn.Module, maps: Tensor, *, within: float = 2e-5) -> None:
    for ours, theirs in zip(step(one, maps), step(other, maps), strict=True):
        check_close(ours, theirs, within=within)


@pytest.mark.parametrize("order", [torch.contiguous_format, torch.channels_last], ids=str)
def test_a_plain_loop_has_the_same_losses(order: torch.memory_format, ran: list[object]) -> None:
    images, labels = images_of(16, 3, 8, 8).contiguous(memory_format=order), torch.arange(16) % 3
    losses = []
    for model in pair():
        model.to(memory_format=order)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
        losses.append([])
        for _ in range(20):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(images), labels)
            loss.backward()
            optimizer.step()
            losses[-1].append(loss.item())
    assert losses[0] == pytest.approx(losses[1], abs=1e-3)
    assert losses[0][-1] < losses[0][0] / 2
    assert len(ran) == 2 * 20


def test_layers_stay_what_they_were() -> None:
    model = Net()
    before = {name: id(value) for name, value in (*model.named_parameters(), *model.named_buffers())}
    words, state, classes = repr(model), model.state_dict(), [type(each) for each in model.modules()]
    assert thumbnet.accelerate(model) is model
    assert {name: id(value) for name, value in (*model.named_parameters(), *model.named_buffers())} == before
    assert (repr(model), [type(each) for each in model.modules()]) == (words, classes)
    assert list(model.state_dict()) == list(state)
    Net().load_state_dict(model.state_dict())
    model.load_state_dict(Net().state_dict())


def test_what_is_taken_is_said_and_can_be_undone(ran: list[object]) -> None:
    model, plain = pair()
    layers = thumbnet.accelerated_layers(model)
    assert layers.taken == ("wide", "dilated")
    assert list(layers.left) == ["stem", "point"]
    assert str(layers).splitlines()[0] == "2 of 4 convolutions run through thumbnet's kernels: wide, dilated"
    assert "left to PyTorch: stem (with 3 channels in and 12 out PyTorch is faster)" in str(layers)
    assert thumbnet.accelerated_layers(thumbnet.accelerate(model)) == layers, "a second time"
    assert thumbnet.decelerate(model) is model
    assert not thumbnet.accelerated_layers(model).taken
    assert thumbnet.accelerated_layers(model).left["wide"] == "not accelerated"
    assert [sorted(vars(each)) for each in model.modules()] == [sorted(vars(each)) for each in plain.modules()]
    for one, other in zip(step(model, images_of(2, 3, 8, 8)), step(plain, images_of(2, 3, 8, 8)), strict=True):
        assert one.equal(other)
    assert not ran


def test_one_layer_is_a_model_too(ran: list[object]) -> None:
    check_same(*pair(conv), images_of(2, 8, 6, 6))
    assert ran == [(2, 8, 6, 6)]


class Own(nn.Conv2d):
    def forward(self, maps: Tensor) -> Tensor:
        return super().forward(maps) * 2


class Padded(nn.Conv2d):
    def _conv_forward(self, maps: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return F.conv2d(F.pad(maps, (1, 1, 1, 1), value=1.0), weight, bias)


class Named(nn.Conv2d):
    """A class of its own that computes what its parent does."""


@pytest.mark.parametrize(
    ("left", "reason"),
    [
        (nn.Conv2d(8, 8, 5, padding=2), "3x3"),
        (nn.Conv2d(8, 8, (3, 1)), "3x3"),
        (nn.Conv2d(8, 8, 3, stride=2), "stride 1"),
        (nn.Conv2d(8, 8, 3, groups=8), "one group"),
        (nn.Conv2d(8, 8, 3, padding=(0, 1)), "padded"),
        (nn.Conv2d(8, 8, 3, padding=2), "padded"),
        (nn.Conv2d(8, 8, 3, dilation=(1, 2)), "padded"),
        (nn.Conv2d(8, 8, 3, padding=1, padding_mode="reflect"), "zeros"),
        (nn.Conv2d(3, 8, 3), "3 channels"),
        (nn.LazyConv2d(8, 3), "run the model once, then accelerate"),
        (Own(8, 8, 3), "of its own"),
        (Padded(8, 8, 3), "of its own"),
    ],
    ids=str,
)
def test_what_does_not_fit_is_left_alone(left: nn.Conv2d, reason: str, ran: list[object]) -> None:
    model = nn.Sequential(left, Named(8, 8, 3))
    before = dict(vars(left))
    thumbnet.accelerate(model)
    assert vars(left) == before
    layers = thumbnet.accelerated_layers(model)
    assert layers.taken == ("1",)
    assert reason in layers.left["0"]
    model(images_of(1, 3 if left.in_channels == 3 else 8, 9, 9))
    assert len(ran) == 1


def test_where_nothing_fits_that_is_said() -> None:
    for model in (nn.Linear(3, 3), nn.Conv2d(3, 8, 1), nn.Conv1d(8, 8, 3)):
        with pytest.warns(RuntimeWarning, match=r"nothing to accelerate: 0 of [01] convolutions"):
            assert thumbnet.accelerate(model) is model


def test_what_is_no_network_is_refused() -> None:
    for function in (thumbnet.accelerate, thumbnet.decelerate, thumbnet.accelerated_layers):
        with pytest.raises(ConfigError, match=r"model is 'x'.*\n.*nn\.Module"):
            inspect.unwrap(function)("x")  # past the tests' own check of types


def fail_to_load() -> None:
    raise ConfigError("there are none here", hint="")


def test_without_kernels_the_model_stays_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accelerate_module, "load_kernels", fail_to_load)
    model = Net()
    with pytest.warns(RuntimeWarning, match="the model is not accelerated: there are none here"):
        assert thumbnet.accelerate(model) is model
    assert not thumbnet.accelerated_layers(model).taken


def test_a_copy_without_kernels_is_pytorchs(monkeypatch: pytest.MonkeyPatch, ran: list[object]) -> None:
    monkeypatch.setattr(warnings_once, "_said", set())
    monkeypatch.setattr(layer, "load_kernels", fail_to_load)
    model, plain = pair()
    copied = pickle.loads(pickle.dumps(model))
    expected = plain.eval()(images_of(2, 3, 8, 8))
    with pytest.warns(RuntimeWarning, match="PyTorch's own kernels, since there are none here"):
        assert copied.eval()(images_of(2, 3, 8, 8)).equal(expected)
    assert copied(images_of(2, 3, 8, 8)).equal(expected)  # another warning would be an error
    assert not ran


def saved_and_loaded(model: nn.Module) -> nn.Module:
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


@pytest.mark.parametrize(
    "copied",
    [copy.deepcopy, copy.copy, lambda model: pickle.loads(pickle.dumps(model)), saved_and_loaded],
    ids=["deepcopy", "copy", "pickle", "torch.save"],
)
def test_copies_run_through_the_kernels_too(copied: Callable[[nn.Module], nn.Module], ran: list[object]) -> None:
    model, plain = pair()
    other = copied(model)
    check_same(other, plain, images_of(2, 3, 8, 8))
    assert len(ran) == 2
    if other.wide is not model.wide:
        with torch.no_grad():
            other.wide.weight.zero_()
        assert model.wide.weight.any()
        other.dilated.dilation = (1, 1)  # a copy's own layer decides
        assert other.dilated(images_of(1, 24, 8, 8)).shape[2] == 6
        thumbnet.decelerate(other)
        assert thumbnet.accelerated_layers(model).taken
    assert not thumbnet.accelerated_layers(thumbnet.decelerate(other)).taken


def test_hooks_are_called(ran: list[object]) -> None:
    called = []
    model, plain = pair()
    for each in (model, plain):
        each.wide.register_forward_pre_hook(lambda module, inputs: (inputs[0] * 2,))
        each.wide.register_forward_hook(lambda module, inputs, output: called.append("forward") or output + 1)
        each.wide.register_full_backward_hook(lambda module, before, after: called.append("backward"))
        each.dilated.weight.register_hook(lambda gradient: gradient * 3)
    check_same(model, plain, images_of(2, 3, 8, 8))
    assert called == ["forward", "backward"] * 2
    assert len(ran) == 2


class Halved(nn.Module):
    def forward(self, weight: Tensor) -> Tensor:
        return weight / 2


def halve(module: nn.Module) -> None:
    parametrize.register_parametrization(module, "weight", Halved())


def normalise(module: nn.Module) -> None:
    parametrizations.weight_norm(module)


def normalise_by_hooks(module: nn.Module) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # deprecated, and in use
        nn.utils.weight_norm(module)


def prune(module: nn.Module) -> None:
    from torch.nn.utils import prune as pruning

    pruning.l1_unstructured(module, "weight", 0.5)


@pytest.mark.parametrize("change", [halve, normalise, normalise_by_hooks, prune])
@pytest.mark.parametrize("is_first", [True, False], ids=["before", "after"])
def test_parametrized_weights(change: Callable[[nn.Module], None], is_first: bool, ran: list[object]) -> None:
    torch.manual_seed(0)
    model, plain = (nn.Sequential(conv()) for _ in range(2))
    plain.load_state_dict(model.state_dict())
    if not is_first:
        thumbnet.accelerate(model)
    change(model[0])
    change(plain[0])
    if is_first:
        thumbnet.accelerate(model)
    check_same(model, plain, images_of(2, 8, 6, 6))
    assert len(ran) == 1
    if change is halve:
        for each in (model, plain):
            parametrize.remove_parametrizations(each[0], "weight")
        check_same(model, plain, images_of(2, 8, 6, 6))
        assert len(ran) == 2
    thumbnet.decelerate(model)
    check_same(model, plain, images_of(2, 8, 6, 6), within=0)


def test_autocast(ran: list[object], monkeypatch: pytest.MonkeyPatch) -> None:
    model, plain = pair(conv)
    with torch.autocast("cpu", torch.bfloat16):
        check_same(model, plain, images_of(4, 8, 6, 6), within=0.02)
        check_same(model, plain, images_of(4, 8, 6, 6).bfloat16(), within=0.02)
    assert len(ran) == 2
    with torch.autocast("cpu", torch.float16):
        assert model(images_of(4, 8, 6, 6)).equal(plain(images_of(4, 8, 6, 6)))
    monkeypatch.setattr(convolution_choice, "has_bfloat16_tiles", lambda: True)
    with torch.autocast("cpu", torch.bfloat16):  # as Intel's AMX has
        check_same(model, plain, images_of(4, 8, 6, 6), within=0)
    assert len(ran) == 2


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16], ids=str)
def test_other_types_are_pytorchs(dtype: torch.dtype, ran: list[object]) -> None:
    model, plain = (each.to(dtype) for each in pair(conv))
    maps = images_of(2, 8, 5, 5).to(dtype)
    assert model(maps).equal(plain(maps))
    assert not ran
    model.float()
    model(images_of(2, 8, 5, 5))
    assert len(ran) == 1


@pytest.mark.parametrize(
    "maps",
    [
        images_of(2, 9, 5, 5),
        images_of(2, 8, 5, 5).double(),
        images_of(2, 8, 5, 5).bfloat16(),
        images_of(8, 5),
        images_of(2, 8, 5, 5).to_sparse(),
        torch.zeros(2, 8, 5, 5, dtype=torch.uint8),
    ],
    ids=["channels", "double", "bfloat16", "axes", "sparse", "integers"],
)
def test_what_pytorch_refuses_is_refused_by_its_words(maps: Tensor) -> None:
    words = []
    for model in pair(conv):
        with pytest.raises((RuntimeError, ValueError)) as caught:
            model(maps)
        words.append(str(caught.value))
    assert words[0] == words[1]


@pytest.mark.parametrize(
    "maps",
    [
        images_of(0, 8, 5, 5),
        images_of(8, 5, 5),
        torch._neg_view(images_of(2, 8, 5, 5)),
        images_of(2, 8, 5, 5).to("meta"),
        images_of(2, 8, 5, 5).to(memory_format=torch.channels_last).as_subclass(type("Kind", (Tensor,), {})),
    ],
    ids=["empty batch", "no batch", "negated", "meta", "subclass"],
)
def test_unusual_maps_are_pytorchs(maps: Tensor, ran: list[object]) -> None:
    model, plain = pair(conv)
    if maps.is_meta:
        model.to("meta")
        plain.to("meta")
    ours, theirs = model(maps), plain(maps)
    assert (type(ours), ours.shape, ours.stride()) == (type(theirs), theirs.shape, theirs.stride())
    assert maps.is_meta or ours.equal(theirs)
    assert not ran


ORDERS: dict[str, Callable[[Tensor], Tensor]] = {
    "contiguous": lambda x: x.contiguous(),
    "channels_last": lambda x: x.contiguous(memory_format=torch.channels_last),
    "a slice of channels": lambda x: torch.cat([x, x], 1)[:, : x.shape[1]],
    "a slice of channels_last": lambda x: torch.cat([x, x], 1).to(memory_format=torch.channels_last)[:, : x.shape[1]],
    "every second pixel": lambda x: x.repeat_interleave(2, 3)[..., ::2],
    "transposed": lambda x: x.transpose(2, 3).contiguous().transpose(2, 3),
    "one for all": lambda x: x[:1].expand_as(x),
}


@pytest.mark.parametrize("weights", ORDERS.values(), ids=ORDERS)
@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
def test_orders_in_memory_are_pytorchs(
    order: Callable[[Tensor], Tensor], weights: Callable[[Tensor], Tensor], ran: list[object]
) -> None:
    model, plain = pair(conv)
    for each in (model, plain):
        each.weight = nn.Parameter(weights(plain.weight.detach()))
    for size in ((6, 6), (1, 1), (3, 1)):
        maps = order(images_of(2, 8, *size))
        ours, theirs = model(maps), plain(maps)
        assert ours.stride() == theirs.stride()
        assert ours.is_contiguous() == theirs.is_contiguous()
        check_close(ours, theirs)
        check_same(model, plain, maps)
    assert len(ran) == 6


def test_scoring(ran: list[object]) -> None:
    model, plain = (each.eval() for each in pair())
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            result = model(images_of(2, 3, 8, 8))
            check_close(result, plain(images_of(2, 3, 8, 8)))
            assert not result.requires_grad
    assert len(ran) == 4


def test_layers_may_be_frozen_in_part(ran: list[object]) -> None:
    model, plain = pair(conv)
    for name in ("weight", "bias", None):
        for each in (model, plain):
            for key, parameter in each.named_parameters():
                parameter.grad = None
                parameter.requires_grad_(key != name)
            each(images_of(2, 8, 6, 6)).square().sum().backward()
        for ours, theirs in zip(model.parameters(), plain.parameters(), strict=True):
            assert (ours.grad is None) == (theirs.grad is None)
            assert ours.grad is None or ours.grad.stride() == theirs.grad.stride()
            if ours.grad is not None:
                check_close(ours.grad, theirs.grad)
    assert len(ran) == 3
    assert not model.requires_grad_(False)(images_of(2, 8, 6, 6)).requires_grad


def test_a_weight_of_two_layers(ran: list[object]) -> None:
    model, plain = pair(lambda: nn.Sequential(conv(8, 8), nn.ReLU(), conv(8, 8)))
    for each in (model, plain):
        each[2].weight = each[0].weight
    check_same(model, plain, images_of(2, 8, 6, 6))
    assert len(ran) == 2


def test_a_weight_changed_before_the_backward_pass_is_seen() -> None:
    for model in pair(conv):
        result = model(images_of(2, 8, 6, 6).requires_grad_())
        with torch.no_grad():
            model.weight.mul_(2)
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            result.sum().backward()


def test_a_layer_changed_later_is_obeyed(ran: list[object]) -> None:
    model, plain = pair(conv)
    for changes in ({"padding": (0, 0)}, {"dilation": (2, 2)}, {"padding": (2, 2)}, {"stride": (2, 2)}):
        for each in (model, plain):
            for name, value in changes.items():
                setattr(each, name, value)
        check_same(model, plain, images_of(2, 8, 9, 9))
    assert len(ran) == 3


def test_gradients_of_gradients(ran: list[object]) -> None:
    found = []
    for model in (each.eval() for each in pair()):
        maps = images_of(2, 3, 8, 8).requires_grad_()
        leaves = [maps, *model.parameters()]
        first = torch.autograd.grad(model(maps).square().sum(), leaves, create_graph=True)
        second = torch.autograd.grad(sum(each.square().sum() for each in first), leaves)
        found.append([*first, *second])
    for ours, theirs in zip(*found, strict=True):
        check_close(ours, theirs, within=1e-4)
    assert len(ran) == 2


def test_several_gradients_at_once(ran: list[object]) -> None:
    found = []
    for model in pair(conv):
        maps = images_of(2, 8, 4, 4).requires_grad_()
        gradients = images_of(3, 2, 16, 4, 4)
        found.append(torch.autograd.grad(model(maps), [maps, model.weight], gradients, is_grads_batched=True))
    for ours, theirs in zip(*found, strict=True):
        check_close(ours, theirs)
    assert len(ran) == 1


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")  # PyTorch's own, at the first forward mode
def test_transforms_of_functions_are_pytorchs(ran: list[object]) -> None:
    model, plain = (each.eval() for each in pair())
    images = images_of(3, 2, 3, 8, 8)

    def loss(weights: dict[str, Tensor], module: nn.Module) -> Tensor:
        return torch.func.functional_call(module, weights, (images[0],)).square().sum()

    ours, theirs = (torch.func.grad(loss)(dict(each.named_parameters()), each) for each in (model, plain))
    for name, value in theirs.items():
        check_close(ours[name], value)
    check_close(torch.func.vmap(model)(images), torch.func.vmap(plain)(images))
    tangent = torch.func.jvp(model, (images[0],), (images[1],))[1]
    check_close(tangent, torch.func.jvp(plain, (images[0],), (images[1],))[1])
    with torch.autograd.forward_ad.dual_level():
        dual = torch.autograd.forward_ad.make_dual(images[0], images[1])
        check_close(torch.autograd.forward_ad.unpack_dual(model(dual)).tangent, tangent)
    assert not ran
    loss(dict(model.named_parameters()), model)  # a call with other weights, no transform
    assert len(ran) == 2


@pytest.mark.parametrize("use_reentrant", [True, False])
def test_recomputed_maps(use_reentrant: bool, ran: list[object]) -> None:
    found = []
    for model in pair(conv):
        maps = images_of(2, 8, 6, 6).requires_grad_()
        result = checkpoint(model, maps, use_reentrant=use_reentrant)
        result.square().sum().backward()
        found.append([maps.grad, *(each.grad for each in model.parameters())])
    for ours, theirs in zip(*found, strict=True):
        check_close(ours, theirs)
    assert len(ran) == 2


def test_modes_that_watch_operations(ran: list[object]) -> None:
    model, plain = pair()
    counts = []
    for each in (model, plain):
        with FlopCounterMode(display=False) as counter:
            each(images_of(2, 3, 8, 8)).sum().backward()
        counts.append(counter.get_total_flops())
    assert counts[0] == counts[1] > 0
    assert not ran
    maps = images_of(2, 3, 8, 8)
    with torch.autograd.graph.save_on_cpu():
        check_same(model, plain, maps)
    with torch.device("meta"):
        result = model(maps)
    assert result.equal(model(maps))
    assert len(ran) == 6


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
def test_traces_are_pytorchs(ran: list[object]) -> None:
    model, plain = (each.eval() for each in pair())
    images = images_of(2, 3, 8, 8)
    expected = plain(images)
    traced, scripted = torch.jit.trace(model, images, check_trace=False), torch.jit.script(model)
    for each in (traced, scripted, torch.export.export(model, (images,)).module()):
        assert each(images).equal(expected)
    torch.jit.save(scripted, io.BytesIO())
    assert not ran
    graph = torch.fx.symbolic_trace(model)
    assert [type(each) for each in graph.children()] == [type(each) for each in plain.children()]
    check_close(graph(images), expected)
    assert len(ran) == 2


def test_compiled_it_is_pytorchs(ran: list[object]) -> None:
    model, plain = (each.eval() for each in pair())
    images = images_of(2, 3, 8, 8)
    assert torch.compile(model, backend="eager", fullgraph=True)(images).equal(plain(images))
    assert not ran
    model(images)
    assert len(ran) == 2


def test_the_number_of_threads_changes_no_bit(threads: None, ran: list[object]) -> None:
    model, _ = pair(conv)
    found = []
    for count in (1, 2, 3):
        torch.set_num_threads(count)
        found.append(step(model, images_of(9, 8, 8, 8)))
    for other in found[1:]:
        assert all(one.equal(two) for one, two in zip(found[0], other, strict=True))
    assert len(ran) == 3


def test_threads_at_once(ran: list[object]) -> None:
    model, _ = pair(conv)
    inputs = [images_of(16, 8, 12, 12) * index for index in range(1, 5)]
    expected = [step(model, maps) for maps in inputs]
    found: dict[int, list[Tensor]] = {}
    workers = [
        threading.Thread(target=lambda i=i: found.update({i: [*model(inputs[i % 4]).unbind()]})) for i in range(8)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for index in range(8):
        assert torch.stack(found[index]).equal(expected[index % 4][0])
    assert len(ran) == 12


class Convolved(Dataset[Tensor]):
    """What a model makes of images, in a worker's process."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> Tensor:
        with torch.no_grad():
            return self.model(images_of(1, 8, 6, 6) * index)[0]


def test_workers(ran: list[object]) -> None:
    model, plain = pair(conv)
    model(images_of(4, 8, 6, 6))
    batches = list(DataLoader(Convolved(model), batch_size=2, num_workers=1, multiprocessing_context="fork"))
    with torch.no_grad():
        check_close(batches[1][1], plain(images_of(1, 8, 6, 6) * 3)[0])
    assert len(ran) == 1


def test_fit_runs_them_while_it_trains(tiny_dataset: thumbnet.Dataset, ran: list[object]) -> None:
    model = Net(size=12)
    seen = []
    model.head.register_forward_hook(
        lambda *_: seen.append((model.training, len(thumbnet.accelerated_layers(model).taken)))
    )
    result = fit_flat(model, tiny_dataset, batch_size=32, fine_tuning=FineTuning(), score=("val",))
    assert result.kernels.startswith("native")
    assert set(seen) == {(True, 2), (False, 0)}
    assert len(ran) == 2 * 3
    assert not thumbnet.accelerated_layers(model).taken
    assert (
        fit_flat(model, tiny_dataset, batch_size=32, fine_tuning=FineTuning(), kernels="pytorch").kernels == "pytorch"
    )
    assert len(ran) == 2 * 3


def test_fit_leaves_a_model_as_it_was(tiny_dataset: thumbnet.Dataset) -> None:
    model = Net(size=12)
    thumbnet.accelerate(model.dilated)

    def fail(*_: object) -> None:
        raise ZeroDivisionError

    handle = model.head.register_forward_hook(fail)
    with pytest.raises(ZeroDivisionError):
        fit_flat(model, tiny_dataset, batch_size=32, fine_tuning=FineTuning())
    assert thumbnet.accelerated_layers(model).taken == ("dilated",)
    handle.remove()
    fit_flat(model, tiny_dataset, batch_size=32, fine_tuning=FineTuning())
    assert thumbnet.accelerated_layers(model).taken == ("dilated",)
