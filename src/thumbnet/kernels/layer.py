"""An `nn.Conv2d` that runs through our kernels where they can and are faster, and through PyTorch's anywhere else.

`nn.Conv2d.forward` calls `self._conv_forward`, and an attribute of the instance hides the method of its class. The
layer keeps its class, its parameters and its hooks.
"""

from __future__ import annotations

import sys
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.lazy import LazyModuleMixin

from thumbnet.errors import ConfigError
from thumbnet.kernels import convolution_choice, torch_internals
from thumbnet.kernels.convolution import convolve
from thumbnet.kernels.convolution_support import (
    Attached,
    dilation_of,
    has_pytorchs_methods,
    is_pytorchs_convolution,
    padding_of,
    supports_convolution,
    supports_convolution_layer,
)
from thumbnet.kernels.library import Kernels, load_kernels
from thumbnet.kernels.support import must_be_seen
from thumbnet.kernels.torch_internals import METHOD
from thumbnet.kernels.warnings_once import say_once

FORWARD = nn.Conv2d.forward.__code__
MAX_FRAMES = 8  # between that function and what it calls: wrappers, such as those that check types


class KernelForward(Attached):
    """What such a layer calls with its input, its weight and its bias.

    A copy, and one that was pickled, loads the kernels anew; where there are none, PyTorch's run, which is said once.

    Args:
        kernels: None: to be loaded at the first call.
    """

    def __init__(self, layer: nn.Conv2d, kernels: Kernels | None) -> None:
        self.layer = layer
        self.error: ConfigError | None = None  # why the kernels could not be loaded
        self._kernels = kernels

    def __call__(self, maps: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        layer = self.layer
        if not must_be_seen() and isinstance(maps, Tensor) and maps.ndim == weight.ndim == 4:
            layer = self._caller()
            padding, dilation = padding_of(layer), dilation_of(layer)
            if (
                supports_convolution_layer(layer)
                and padding is not None
                and dilation is not None
                and min(maps.shape[2:]) > 2 * (dilation - padding)
                # Before what takes longer, since it is often false.
                and convolution_choice.is_taken(maps, weight, padding=padding, dilation=dilation)
                and has_pytorchs_methods(type(layer))
                and supports_convolution(maps, weight, bias, padding=padding, dilation=dilation)
                and (kernels := self._load()) is not None
            ):
                if _is_channels_last(maps) or _is_channels_last(weight):
                    return convolve(kernels, maps, weight, bias, padding=padding, dilation=dilation)
                reordered: Tensor = _ToChannelsLast.apply(maps)  # type: ignore[no-untyped-call]
                result = convolve(kernels, reordered, weight, bias, padding=padding, dilation=dilation)
                return result.clone(memory_format=torch.contiguous_format)  # `contiguous` keeps some strides
        by_pytorch: Tensor = type(layer)._conv_forward(layer, maps, weight, bias)
        return by_pytorch

    def __reduce__(self) -> tuple[Any, ...]:
        return accelerated_forward, (self.layer,)  # a library cannot be copied

    def _caller(self) -> nn.Conv2d:
        """The layer whose `forward` calls: it may be a shallow copy of ours, which then gets an object of its own."""
        frame = sys._getframe(1)
        for _ in range(MAX_FRAMES):
            if frame.f_code is FORWARD:
                caller = frame.f_locals["self"]
                if caller is not self.layer and vars(caller).get(METHOD) is self:
                    attach(caller, self._kernels)
                    assert isinstance(caller, nn.Conv2d)
                    return caller
                break
            if frame.f_back is None:
                break
            frame = frame.f_back
        return self.layer

    def _load(self) -> Kernels | None:
        if self._kernels is None and self.error is None:
            try:
                self._kernels = load_kernels()
            except ConfigError as error:
                self.error = error
                say_once(f"Convolutions run through PyTorch's own kernels, since {error}")
        return self._kernels


def accelerated_forward(layer: nn.Conv2d) -> KernelForward:
    """What a layer that was copied, or read from a file, gets anew.

    Files that `torch.save(model)` wrote name this function, so neither its name nor its module may change.
    """
    return KernelForward(layer, None)


class _ToChannelsLast(torch.autograd.Function):
    """Maps in the other order, whose gradient goes back in their own, so that no later step mixes the two."""

    @staticmethod
    def forward(ctx: Any, maps: Tensor) -> Tensor:
        return maps.contiguous(memory_format=torch.channels_last)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient.contiguous()


def reason_against(layer: nn.Conv2d) -> str | None:
    """Why a convolution is left to PyTorch; None if our kernels can run it on a CPU, given maps that suit them."""
    if isinstance(layer, LazyModuleMixin) and layer.has_uninitialized_params():
        return "its channels are not known yet: run the model once, then accelerate"
    if not torch_internals.IS_KNOWN:
        return "this version of PyTorch lacks what the kernels' checks need"
    if not is_pytorchs_convolution(layer):
        return "it computes something of its own"
    if not supports_convolution_layer(layer):
        return "it is not a 3x3 convolution of stride 1 in one group, padded with zeros by its dilation at most"
    if not convolution_choice.has_enough_channels(layer.in_channels, layer.out_channels):
        return f"with {layer.in_channels} channels in and {layer.out_channels} out PyTorch is faster"
    other = next((each.dtype for each in layer.parameters() if each.dtype is not torch.float32), None)
    if other is not None:
        return f"its parameters are {str(other).removeprefix('torch.')}, not float32"
    return None


def kernel_forward_of(layer: nn.Module) -> KernelForward | None:
    """What was attached to this layer, or to one that it is a shallow copy of."""
    entry = vars(layer).get(METHOD)
    return entry if isinstance(entry, KernelForward) else None


def attach(layer: nn.Conv2d, kernels: Kernels | None) -> None:
    """Let a layer run through these kernels, where `reason_against` has none."""
    vars(layer)[METHOD] = KernelForward(layer, kernels)


def detach(layer: nn.Module) -> None:
    """Let a layer run through PyTorch's again."""
    if kernel_forward_of(layer) is not None:
        vars(layer).pop(METHOD, None)  # another thread may have done it


def _is_channels_last(values: Tensor) -> bool:
    """Whether PyTorch calls a tensor's order in memory channels_last, also one with gaps (c10/core/MemoryFormat.h)."""
    sizes, strides = values.shape, values.stride()
    least = 0
    if strides[1] == 0:
        return False
    for axis in (1, 3, 2, 0):
        if sizes[axis] == 0 or strides[axis] < least:
            return False
        if axis == 0 and least == strides[1]:  # one pixel, or one channel: it is both, and counts as contiguous
            return False
        least = strides[axis] * max(sizes[axis], 1)
    return True
