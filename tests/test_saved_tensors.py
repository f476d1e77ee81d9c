"""Hooks on what is saved for the backward pass, as code that offloads it has: equal numbers in another order in memory
give the same gradients, and other numbers are not read as if they were the same."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from kernel_builds import FLAGS
from thumbnet.errors import TrainingError
from thumbnet.kernels import convolution_choice
from thumbnet.kernels.compiler import can_compile
from thumbnet.kernels.convolution import convolve
from thumbnet.kernels.library import load_kernels
from thumbnet.models.blocknet import BlockNet

pytestmark = pytest.mark.skipif(not can_compile(), reason="no compiler for our kernels here")


@pytest.fixture(autouse=True)
def every_convolution(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convolution_choice, "is_taken", lambda *_, **__: True)


def by_numpy(values: Tensor) -> object:
    return values.detach().numpy().copy()


def by_numpy_contiguous(values: Tensor) -> object:
    return values.detach().contiguous().numpy().copy()


def unpacked(packed: object) -> Tensor:
    return packed if isinstance(packed, Tensor) else torch.from_numpy(packed)


IN_ANOTHER_ORDER = {
    "contiguous": lambda values: values.contiguous(),
    "channels last": lambda values: (
        values.contiguous(memory_format=torch.channels_last) if values.ndim == 4 else values.t().contiguous().t()
        if values.ndim == 2 else values
    ),
    "numpy": by_numpy,
    "numpy, contiguous": by_numpy_contiguous,
    "every second": lambda values: values.repeat_interleave(2, 0)[::2],
}  # fmt: skip
OTHER_NUMBERS = {
    "double": lambda values: values.double(),
    "half": lambda values: values.half(),
    "shape": lambda values: values[:1],
    "meta": lambda values: values.to("meta"),
}


def gradients(
    function: Callable[[Tensor], Tensor], maps: Tensor, parameters: list[Tensor], pack: Callable[[Tensor], object]
) -> list[Tensor]:
    maps = maps.detach().requires_grad_()
    with saved_tensors_hooks(pack, unpacked):
        result = function(maps)
    gradient = torch.randn(result.shape, generator=torch.Generator().manual_seed(3))
    return list(torch.autograd.grad(result, [maps, *parameters], gradient))


def convolution() -> tuple[Callable[[Tensor], Tensor], Tensor, list[Tensor]]:
    generator = torch.Generator().manual_seed(1)
    weight = torch.randn(16, 8, 3, 3, generator=generator).contiguous(memory_format=torch.channels_last)
    weight.requires_grad_()
    maps = torch.randn(2, 8, 6, 5, generator=generator).contiguous(memory_format=torch.channels_last)
    return lambda maps: convolve(load_kernels(FLAGS), maps, weight, padding=1), maps, [weight]


@pytest.mark.parametrize("pack", IN_ANOTHER_ORDER.values(), ids=IN_ANOTHER_ORDER)
def test_a_convolution_of_saved_values_in_another_order(pack: Callable[[Tensor], object]) -> None:
    expected = gradients(*convolution(), lambda values: values)
    for one, other in zip(gradients(*convolution(), pack), expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


def test_a_convolution_of_saved_values_of_another_type_is_pytorchs() -> None:
    expected = gradients(*convolution(), lambda values: values)
    for name, within in (("double", 2e-5), ("half", 5e-3)):
        for one, other in zip(gradients(*convolution(), OTHER_NUMBERS[name]), expected, strict=True):
            assert one.dtype == other.dtype
            torch.testing.assert_close(one, other, rtol=within, atol=10 * within)
    with pytest.raises(RuntimeError):
        gradients(*convolution(), OTHER_NUMBERS["shape"])


BLOCKS = ["c32", "c32p", "b32", "b32p", "c32s"]


def block_of(word: str) -> tuple[nn.Module, Tensor]:
    torch.manual_seed(0)
    block = BlockNet(blocks=f"c32 {word}").blocks[1]
    for parameter in block.parameters():
        nn.init.normal_(parameter, std=0.3)
    block.kernels = load_kernels(FLAGS)
    return block.to(memory_format=torch.channels_last).train(), torch.randn(3, 32, 7, 6)


@pytest.mark.parametrize("pack", IN_ANOTHER_ORDER.values(), ids=IN_ANOTHER_ORDER)
@pytest.mark.parametrize("word", BLOCKS)
def test_a_block_of_saved_values_in_another_order(word: str, pack: Callable[[Tensor], object]) -> None:
    block, maps = block_of(word)
    parameters = list(block.parameters())
    expected = gradients(block, maps, parameters, lambda values: values)
    for one, other in zip(gradients(block, maps, parameters, pack), expected, strict=True):
        assert one.equal(other)


@pytest.mark.parametrize("pack", OTHER_NUMBERS.values(), ids=OTHER_NUMBERS)
@pytest.mark.parametrize("word", BLOCKS)
def test_a_block_refuses_other_saved_values(word: str, pack: Callable[[Tensor], object]) -> None:
    block, maps = block_of(word)
    with pytest.raises(TrainingError, match="saved for the backward pass came back as") as caught:
        gradients(block, maps, list(block.parameters()), pack)
    assert "saved_tensors_hooks" in caught.value.hint


def test_a_norm_alone_of_saved_values_in_another_order() -> None:
    block, maps = block_of("c32p")
    block.conv.register_forward_hook(lambda *_: None)  # the convolution is PyTorch's then
    parameters = list(block.parameters())
    expected = gradients(block, maps, parameters, lambda values: values)
    for pack in IN_ANOTHER_ORDER.values():
        for one, other in zip(gradients(block, maps, parameters, pack), expected, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)  # PyTorch's convolution saves its values too
