"""An `nn.Conv2d` that runs through our kernels where they can and are faster, and through PyTorch's anywhere else.

`nn.Conv2d.forward` calls `self._conv_forward`, and what is put into a layer under that name comes before the method of
its class. The layer keeps its class, its parameters and its hooks.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from thumbnet.errors import ConfigError
from thumbnet.kernels import convolution_choice
from thumbnet.kernels.convolution import convolve
from thumbnet.kernels.library import Kernels, load_kernels
from thumbnet.kernels.said import say_once
from thumbnet.kernels.support import (
    must_be_seen,
    padding_of,
    supports_convolution,
    supports_convolution_layer,
)

ENTRY = "_conv_forward"


class KernelForward:
    """What such a layer calls with its input, its weight and its bias.

    A copy, and one that was pickled, loads the kernels anew; where there are none, PyTorch's run, which is said once.
    """

    def __init__(self, layer: nn.Conv2d, kernels: Kernels) -> None:
        self.layer = layer
        self._kernels: Kernels | None = kernels
        self._is_copy = False  # whose kernels are still to be loaded

    def __call__(self, maps: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        layer = self.layer
        if not must_be_seen() and supports_convolution_layer(layer):
            padding = padding_of(layer)
            assert padding is not None
            dilation = layer.dilation[0]
            if (
                supports_convolution(maps, weight, bias, padding=padding, dilation=dilation)
                and convolution_choice.is_taken(maps, weight, padding=padding, dilation=dilation)
                and (kernels := self._load()) is not None
            ):
                if _is_channels_last(maps) or _is_channels_last(weight):
                    return convolve(kernels, maps, weight, bias, padding=padding, dilation=dilation)
                reordered: Tensor = _ToChannelsLast.apply(maps)  # type: ignore[no-untyped-call]
                result = convolve(kernels, reordered, weight, bias, padding=padding, dilation=dilation)
                return result.clone(memory_format=torch.contiguous_format)  # `contiguous` keeps some strides
        by_pytorch: Tensor = nn.Conv2d._conv_forward(layer, maps, weight, bias)
        return by_pytorch

    def __getstate__(self) -> dict[str, Any]:
        return {"layer": self.layer, "_kernels": None, "_is_copy": True}  # a library cannot be copied

    def _load(self) -> Kernels | None:
        if self._is_copy:
            try:
                self._kernels = load_kernels()
            except ConfigError as error:
                say_once(f"Convolutions run through PyTorch's own kernels, since {error.message}")
            self._is_copy = False
        return self._kernels


class _ToChannelsLast(torch.autograd.Function):
    """Maps in the other order, whose gradient goes back in their own, so that no later step mixes the two."""

    @staticmethod
    def forward(ctx: Any, maps: Tensor) -> Tensor:
        return maps.contiguous(memory_format=torch.channels_last)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient.contiguous()


def reason_against(layer: nn.Conv2d) -> str | None:
    """Why a convolution is left to PyTorch; None if our kernels can run it, given maps that suit them."""
    if kernel_forward_of(layer) is None and (
        "forward" in vars(layer)
        or ENTRY in vars(layer)
        or type(layer).forward is not nn.Conv2d.forward
        or type(layer)._conv_forward is not nn.Conv2d._conv_forward
    ):
        return "it computes something of its own"
    if not supports_convolution_layer(layer):
        return "it is not a 3x3 convolution of stride 1 in one group, padded with zeros by its dilation at most"
    if not convolution_choice.has_enough_channels(layer.in_channels, layer.out_channels):
        return f"with {layer.in_channels} channels in and {layer.out_channels} out PyTorch is faster"
    return None


def kernel_forward_of(layer: nn.Module) -> KernelForward | None:
    """What was attached to this layer."""
    entry = vars(layer).get(ENTRY)
    return entry if isinstance(entry, KernelForward) else None


def attach(layer: nn.Conv2d, kernels: Kernels) -> None:
    """Let a layer run through these kernels, where `reason_against` has none."""
    vars(layer)[ENTRY] = KernelForward(layer, kernels)


def detach(layer: nn.Module) -> bool:
    """Let a layer run through PyTorch's again. Whether it did not."""
    if kernel_forward_of(layer) is None:
        return False
    del vars(layer)[ENTRY]
    return True


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
