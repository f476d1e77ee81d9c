"""The convolutions of a training step, with the maps and gradients that they get, timed and compared one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

import thumbnet  # noqa: F401  # before torch is imported: it applies THUMBNET_CPU

# isort: split
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from thumbnet.kernels.convolution import convolve
from thumbnet.kernels.convolution_choice import is_taken
from thumbnet.kernels.convolution_support import padding_of, supports_convolution, supports_convolution_layer
from thumbnet.kernels.library import Kernels
from thumbnet.training.watch import seconds_per_call

AT_LEAST_S = 0.03  # of each measurement
NUM_ERROR_IMAGES = 32

Run = Callable[["Case"], Tensor]


@dataclass
class Case:
    """A convolution and what it gets in a step: maps, and the gradient of its result (None: nothing is trained)."""

    name: str
    layer: nn.Conv2d
    maps: Tensor
    gradient: Tensor | None
    dtype: torch.dtype

    @property
    def wanted(self) -> list[Tensor]:
        """What gradients are computed of."""
        return [
            each for each in (self.maps, self.layer.weight, self.layer.bias) if each is not None and each.requires_grad
        ]

    @property
    def is_taken(self) -> bool:
        """Whether training runs it through our kernels: by the functions that decide it there."""
        layer = self.layer
        if not supports_convolution_layer(layer) or not layer.weight.requires_grad:
            return False
        padding = padding_of(layer)
        assert padding is not None
        with computed_in(self.dtype):
            dilation = layer.dilation[0]
            return supports_convolution(
                self.maps, layer.weight, layer.bias, padding=padding, dilation=dilation
            ) and is_taken(self.maps, layer.weight, padding=padding, dilation=dilation)

    @property
    def shape(self) -> str:
        """Such as `64 to 80 @ 8x8`, and what is special."""
        layer = self.layer
        kernel, side = layer.kernel_size, self.maps.shape[2:]
        text = f"{layer.in_channels} to {layer.out_channels} @ {side[0]}x{side[1]}"
        details = [f"{kernel[0]}x{kernel[1]}"] * (kernel != (3, 3)) + [f"stride {layer.stride[0]}"] * (
            layer.stride != (1, 1)
        )
        details += [f"padding {layer.padding[0]}"] * (layer.padding != (1, 1))
        details += [f"dilation {layer.dilation[0]}"] * (layer.dilation != (1, 1))
        details += [f"{layer.groups} groups"] * (layer.groups > 1) + ["frozen"] * (not layer.weight.requires_grad)
        return ", ".join([text, *details])


@contextmanager
def computed_in(dtype: torch.dtype) -> Iterator[None]:
    """As a training step does it in this number format."""
    with nullcontext() if dtype is torch.float32 else torch.autocast("cpu", dtype=dtype):
        yield


def cases_of(model: nn.Module, images: Tensor, labels: Tensor, dtype: torch.dtype) -> list[Case]:
    """Every convolution of one training step by PyTorch's kernels, in call order."""
    model.train().to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in its stubs
    cases: list[Case] = []
    handles = []

    def note(case: Case) -> Callable[[Tensor], None]:
        def keep(gradient: Tensor) -> None:
            case.gradient = gradient.detach().contiguous(memory_format=torch.channels_last)

        return keep

    for name, layer in model.named_modules():
        if isinstance(layer, nn.Conv2d):

            def called(layer: nn.Conv2d, given: tuple[Tensor, ...], result: Tensor, name: str = name) -> None:
                maps = given[0].detach().contiguous(memory_format=torch.channels_last).clone()
                cases.append(Case(name, layer, maps.requires_grad_(given[0].requires_grad), None, dtype))
                if result.requires_grad:
                    result.register_hook(note(cases[-1]))

            handles.append(layer.register_forward_hook(called))
    with computed_in(dtype):
        loss = F.cross_entropy(model(images.contiguous(memory_format=torch.channels_last)).float(), labels)
    loss.backward()
    for handle in handles:
        handle.remove()
    return cases


def by_pytorch(case: Case) -> Tensor:
    """The convolution's result, by the layer as it is."""
    result: Tensor = case.layer(case.maps)
    return result


def by_ours(library: Kernels) -> Run:
    """The same by our kernels."""

    def run(case: Case) -> Tensor:
        layer = case.layer
        padding = padding_of(layer)
        assert padding is not None
        return convolve(library, case.maps, layer.weight, layer.bias, padding=padding, dilation=layer.dilation[0])

    return run


def seconds(case: Case, run: Run) -> tuple[float, float]:
    """Of the forward pass, and of all gradients that are wanted, in one call; the mean of as many calls as it takes."""

    def forward() -> Tensor:
        with computed_in(case.dtype):
            return run(case)

    result = forward()
    forward_s = seconds_per_call(forward, at_least_s=AT_LEAST_S)
    if case.gradient is None or not case.wanted:
        return forward_s, 0.0
    gradient, wanted = case.gradient.to(result.dtype), case.wanted
    backward_s = seconds_per_call(
        lambda: torch.autograd.grad(result, wanted, gradient, retain_graph=True), at_least_s=AT_LEAST_S
    )
    return forward_s, backward_s


def errors(case: Case, run: Run) -> dict[str, float]:
    """The relative error in the 2-norm against float64, on a few images: of the result and of each gradient."""
    assert case.gradient is not None
    layer = case.layer
    few = Case(
        case.name,
        layer,
        case.maps[:NUM_ERROR_IMAGES].detach().float().requires_grad_(case.maps.requires_grad),
        case.gradient[:NUM_ERROR_IMAGES].float(),
        torch.float32,
    )
    maps, weight = few.maps.detach().double().requires_grad_(), layer.weight.detach().double().requires_grad_()
    bias = None if layer.bias is None else layer.bias.detach().double()
    exact = F.conv2d(maps, weight, bias, layer.stride, layer.padding, layer.dilation, layer.groups)
    assert few.gradient is not None
    exact_of_maps, exact_of_weight = torch.autograd.grad(exact, (maps, weight), few.gradient.double())
    result = run(few)
    found = {"forward": relative_error(result, exact)}
    gradients = torch.autograd.grad(result, few.wanted, few.gradient)
    for values, gradient in zip(few.wanted, gradients, strict=True):
        if values is few.maps:
            found["data gradient"] = relative_error(gradient, exact_of_maps)
        elif values is layer.weight:
            found["weight gradient"] = relative_error(gradient, exact_of_weight)
    return found


def relative_error(found: Tensor, exact: Tensor) -> float:
    """The 2-norm of the difference over that of the exact values."""
    return float((found.detach().double() - exact.detach()).norm() / exact.detach().norm())
