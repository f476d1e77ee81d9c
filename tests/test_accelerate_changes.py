"""Accelerated layers that are copied, changed or hooked afterwards, what is said about them then, and `fit` on them."""

from __future__ import annotations

import copy
import importlib.util
import io
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn.modules import module as torch_modules

import thumbnet
from fitting import fit_flat
from kernel_builds import FLAGS
from test_accelerate import Net, Padded, check_same, conv, fail_to_load, images_of, pair, ran  # noqa: F401  # a fixture
from thumbnet.errors import ConfigError
from thumbnet.kernels import accelerate as accelerate_module
from thumbnet.kernels import layer, torch_internals, warnings_once
from thumbnet.kernels.choice import using_kernels
from thumbnet.kernels.compiler import can_compile
from thumbnet.kernels.convolution_support import has_no_hooks
from thumbnet.kernels.library import load_kernels
from thumbnet.kernels.support import is_readable, must_be_seen
from thumbnet.models.blocknet import BlockNet
from thumbnet.specs.fine_tuning import FineTuning

pytestmark = pytest.mark.skipif(not can_compile(), reason="no compiler for our kernels here")
MAPS = images_of(2, 8, 9, 9)
Ran = list[tuple[int, ...]]


def replicated(layer: nn.Conv2d) -> nn.Conv2d:
    """As `nn.DataParallel` copies it: its weights are no parameters."""
    replica = layer._replicate_for_data_parallel()
    for name, value in layer.named_parameters():
        setattr(replica, name, value)
    return replica


@pytest.mark.parametrize("copied", [copy.copy, replicated])
def test_a_shallow_copy_obeys_its_own_geometry(copied: Callable[[nn.Conv2d], nn.Conv2d], ran: Ran) -> None:  # noqa: F811
    model, plain = pair(conv)
    for at, change in enumerate(({"padding": (0, 0)}, {"dilation": (2, 2)}, {"padding": 0, "dilation": 1})):
        ours, theirs = copied(model), copied(plain)
        for name, value in change.items():
            setattr(ours, name, value)
            setattr(theirs, name, value)
        torch.testing.assert_close(ours(MAPS), theirs(MAPS), rtol=1e-4, atol=1e-5)
        assert len(ran) == 2 * at + 1
        torch.testing.assert_close(model(MAPS), plain(MAPS), rtol=1e-4, atol=1e-5)
    thumbnet.decelerate(ours)
    assert thumbnet.accelerated_layers(model).taken


@pytest.mark.parametrize("changes", [{"padding": 0}, {"padding": 1, "dilation": 1}, {"stride": 1}, {"stride": 2}])
def test_plain_numbers_are_a_geometry_too(changes: dict[str, int], ran: Ran) -> None:  # noqa: F811
    model, plain = pair(conv)
    for each in (model, plain):
        for name, value in changes.items():
            setattr(each, name, value)
    check_same(model, plain, MAPS)
    assert len(ran) == (changes != {"stride": 2})
    if ran:
        assert thumbnet.accelerated_layers(thumbnet.accelerate(thumbnet.decelerate(model))).taken


def test_plain_numbers_in_blocks() -> None:
    for blocks in ("c32 c32", "c32 b32", "c32 c32s"):
        torch.manual_seed(0)
        models = [BlockNet(blocks=blocks)]
        models.append(copy.deepcopy(models[0]))
        for each in models[0].modules():
            if isinstance(each, nn.Conv2d):
                for name in ("padding", "dilation", "stride"):
                    setattr(each, name, getattr(each, name)[0])
        results = []
        for model in models:
            with using_kernels(model, load_kernels(FLAGS)):
                results.append(model(images_of(4, 3, 8, 8)))
        torch.testing.assert_close(*results, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("padding", [(1,), [1, 1], (1, 1, 1), "nothing"], ids=str)
def test_what_is_no_pair_is_pytorchs(padding: object, ran: Ran) -> None:  # noqa: F811
    found = []
    for model in pair(conv):
        model.padding = padding
        try:
            found.append(model(MAPS))
        except (RuntimeError, TypeError, ValueError) as error:  # PyTorch's
            found.append(str(error))
    assert found[0] == found[1] if isinstance(found[1], str) else found[0].equal(found[1])
    assert not ran


def test_what_is_said_follows_the_layers(ran: Ran) -> None:  # noqa: F811
    model = thumbnet.accelerate(Net())
    assert "parameters are float64" in thumbnet.accelerated_layers(model.double()).left["wide"]
    assert "parameters are on meta" in thumbnet.accelerated_layers(model.float().to("meta")).left["wide"]
    with pytest.warns(RuntimeWarning, match="nothing to accelerate"):
        thumbnet.accelerate(Net().double())
    model = Net().double()
    with pytest.warns(RuntimeWarning, match="float64, not float32"):
        thumbnet.accelerate(model)
    assert thumbnet.accelerated_layers(thumbnet.accelerate(model.float())).taken == ("wide", "dilated")
    assert str(thumbnet.accelerated_layers(thumbnet.accelerate(conv()))).endswith("kernels: (the model itself)")


def test_a_copy_whose_kernels_failed_is_reported_and_repaired(
    monkeypatch: pytest.MonkeyPatch,
    ran: Ran,  # noqa: F811
) -> None:
    monkeypatch.setattr(warnings_once, "_said", set())
    loads = layer.load_kernels
    monkeypatch.setattr(layer, "load_kernels", fail_to_load)
    copied = copy.deepcopy(thumbnet.accelerate(conv()))
    with pytest.warns(RuntimeWarning, match="since there are none here"):
        copied(MAPS)
    said = thumbnet.accelerated_layers(copied)
    assert (said.taken, said.left) == ((), {"": "the kernels could not be loaded: there are none here"})
    monkeypatch.setattr(layer, "load_kernels", loads)
    assert thumbnet.accelerated_layers(thumbnet.accelerate(copied)).taken == ("",)
    copied(MAPS)
    assert len(ran) == 1


def test_a_lazy_layer_is_taken_once_its_channels_are_known(ran: Ran) -> None:  # noqa: F811
    model = nn.Sequential(nn.LazyConv2d(16, 3, padding=1))
    with pytest.warns(RuntimeWarning, match="run the model once, then accelerate"):
        thumbnet.accelerate(model)
    model(MAPS)
    assert thumbnet.accelerated_layers(thumbnet.accelerate(model)).taken == ("0",)
    model(MAPS)
    assert len(ran) == 1


def fail_with_a_hint() -> None:
    raise ConfigError("there are none here", hint="get some")


def test_warnings_have_the_hint_and_the_users_line(monkeypatch: pytest.MonkeyPatch, ran: Ran) -> None:  # noqa: F811
    monkeypatch.setattr(warnings_once, "_said", set())
    copied = copy.deepcopy(thumbnet.accelerate(nn.Sequential(conv())))
    for module in (layer, accelerate_module):
        monkeypatch.setattr(module, "load_kernels", fail_with_a_hint)
    for call in (lambda: copied(MAPS), lambda: thumbnet.accelerate(conv())):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            call()
        assert [Path(each.filename) for each in caught] == [Path(__file__)]
        assert str(caught[0].message).endswith("there are none here\nhint: get some")


@pytest.fixture
def global_hook() -> Iterator[None]:
    handle = torch_modules.register_module_forward_hook(lambda module, inputs, output: output * 2)
    yield
    handle.remove()


def both_ways(model: nn.Module) -> list[Tensor]:
    """What a model in training gives without our kernels and with them."""
    found = []
    for kernels in (None, load_kernels(FLAGS)):
        with using_kernels(model, kernels):
            found.append(model(images_of(4, 3, 8, 8)))
    return found


def with_own_convolution(layer: nn.Conv2d) -> None:
    layer._conv_forward = lambda maps, weight, bias: Padded._conv_forward(layer, maps, weight, bias)


@pytest.mark.parametrize("blocks", ["c32 c32", "c32s c32p", "c32 b32"])
def test_blocks_see_a_layers_own_method_and_hooks_on_all(blocks: str, global_hook: None) -> None:
    model = BlockNet(blocks=blocks)
    assert not has_no_hooks(model.blocks[1].conv)
    torch.testing.assert_close(*both_ways(model), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("blocks", ["c32 c32", "c32s c32p"])
def test_blocks_see_a_layers_own_method(blocks: str, ran: Ran) -> None:  # noqa: F811
    model = BlockNet(blocks=blocks)
    for block in model.blocks:
        block.has_shortcut = False
    nn.init.normal_(model.blocks[1].conv.weight, std=0.3)  # at first, a filter sees nothing but its middle
    with_own_convolution(model.blocks[1].conv)
    torch.testing.assert_close(*both_ways(model), rtol=1e-3, atol=1e-3)


def test_a_class_changed_later_is_obeyed(ran: Ran) -> None:  # noqa: F811
    model, plain = pair(conv)
    for each in (model, plain):
        each.__class__ = Padded
    assert model(MAPS).equal(plain(MAPS))
    assert not ran
    assert "of its own" in thumbnet.accelerated_layers(model).left[""]


def test_fit_by_pytorch_runs_nothing_of_ours(tiny_dataset: thumbnet.Dataset, ran: Ran) -> None:  # noqa: F811
    model = thumbnet.accelerate(Net(size=12))
    entries = [vars(each).get("_conv_forward") for each in model.modules()]
    training = {"batch_size": 32, "fine_tuning": FineTuning(), "score": ("val",)}
    assert fit_flat(model, tiny_dataset, kernels="pytorch", **training).kernels == "pytorch"
    assert not ran
    modes = []
    model.head.register_forward_hook(lambda module, *_: modes.append((module.training, len(ran))))
    fit_flat(model, tiny_dataset, **training)
    trained = max(count for is_training, count in modes if is_training)
    assert trained == 2 * 3
    assert {count for is_training, count in modes if not is_training} == {trained}, "scores are PyTorch's"
    assert [vars(each).get("_conv_forward") for each in model.modules()] == entries


def test_memory_is_kept_only_if_wanted(monkeypatch: pytest.MonkeyPatch, ran: Ran) -> None:  # noqa: F811
    calls: list[str] = []
    monkeypatch.setattr(accelerate_module, "keep_freed_memory", lambda: calls.append("kept"))
    thumbnet.accelerate(conv(), keep_memory=False)
    assert not calls
    thumbnet.accelerate(conv())
    assert calls == ["kept"]


def test_threads_with_gradients_through_a_copy_that_is_still_to_load(ran: Ran) -> None:  # noqa: F811
    model, plain = pair(conv)
    copied = copy.deepcopy(model)
    found: dict[int, list[Tensor]] = {}
    start = threading.Barrier(6)

    def work(index: int) -> None:
        maps = (MAPS * index).requires_grad_()
        start.wait()
        result = copied(maps)
        found[index] = list(torch.autograd.grad(result.square().sum(), [maps, *copied.parameters()]))

    workers = [threading.Thread(target=work, args=(index,)) for index in range(6)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for index in range(6):
        maps = (MAPS * index).requires_grad_()
        expected = torch.autograd.grad(plain(maps).square().sum(), [maps, *plain.parameters()])
        for one, other in zip(found[index], expected, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3)
    assert len(ran) == 6


def test_weights_that_are_assigned(ran: Ran) -> None:  # noqa: F811
    model, plain = pair()
    other = Net().state_dict()
    for each in (model, plain):
        each.load_state_dict(copy.deepcopy(other), assign=True)
    check_same(model, plain, images_of(2, 3, 8, 8))
    assert len(ran) == 2


SAVED = Path(__file__).with_name("accelerated_layer.pt")  # by torch.save(thumbnet.accelerate(nn.Conv2d(8, 8, 3)), ...)


def test_a_file_saved_long_ago_is_read(ran: Ran) -> None:  # noqa: F811
    layer = torch.load(SAVED, weights_only=False)
    assert type(layer) is nn.Conv2d
    assert thumbnet.accelerated_layers(layer).taken == ("",)
    expected = nn.functional.conv2d(MAPS, layer.weight, layer.bias)
    torch.testing.assert_close(layer(MAPS), expected, rtol=1e-4, atol=1e-5)
    assert len(ran) == 1
    file = io.BytesIO()
    torch.save(thumbnet.accelerate(conv()), file)
    names = [name for name in (b"accelerated_forward", b"KernelForward") if name in file.getvalue()]
    assert names == [b"accelerated_forward"]


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (torch._C, "_get_tracing_state"),
        (torch._C, "_are_functorch_transforms_active"),
        (torch._C, "_len_torch_dispatch_stack"),
        (torch.overrides, "_get_current_function_mode_stack"),
        (torch_modules, "_global_forward_hooks"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_pytorch_without_a_private_name_runs_its_own_layers(
    owner: object,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
    ran: Ran,  # noqa: F811
) -> None:
    assert torch_internals.IS_KNOWN
    assert not must_be_seen()
    model, plain = pair(conv)
    specification = importlib.util.spec_from_file_location("read_anew", torch_internals.__file__)
    assert specification is not None
    read_anew = importlib.util.module_from_spec(specification)
    with monkeypatch.context() as patch:
        patch.delattr(owner, name)
        specification.loader.exec_module(read_anew)
    assert not read_anew.IS_KNOWN
    monkeypatch.setattr(torch_internals, "IS_KNOWN", False)
    assert must_be_seen()
    assert not has_no_hooks(nn.Identity())
    assert not is_readable(MAPS)
    assert "this version of PyTorch lacks" in thumbnet.accelerated_layers(model).left[""]
    assert model(MAPS).equal(plain(MAPS))
    assert not ran
