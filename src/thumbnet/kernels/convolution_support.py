"""Which convolutions our kernels can run, and whether a layer computes what PyTorch's does."""

from __future__ import annotations

from typing import TypeGuard

import torch
from torch import Tensor, nn

from thumbnet.kernels import torch_internals
from thumbnet.kernels.support import MAX_SIZE, STORAGE_DTYPES, can_be_stored, is_readable, storage_dtype


class InPlace:
    """What is put in the place of a layer's forward pass and computes what that does, over several processes."""


class Attached:
    """What we put in place of a layer's method: it computes what the method does."""


def supports_convolution_layer(layer: nn.Module) -> TypeGuard[nn.Conv2d]:
    """Whether our kernels can run this layer, given maps that suit them: 3x3, stride 1, one group, float32.

    Padded alike on all sides with at most as many zeros as it is dilated by. The layer may have a bias.
    """
    if not isinstance(layer, nn.Conv2d):
        return False
    if layer.kernel_size != (3, 3) or layer.groups != 1 or layer.padding_mode != "zeros":
        return False
    padding, dilation = padding_of(layer), dilation_of(layer)
    return (
        padding is not None
        and dilation is not None
        and alike(layer.stride) == 1
        and 0 <= padding <= dilation <= MAX_SIZE // 16
        and dilation > 0
    )


def supports_convolution(
    maps: Tensor, weight: Tensor, bias: Tensor | None, *, padding: int, dilation: int
) -> TypeGuard[Tensor]:
    """Whether our kernels can run a convolution with these values: in a CPU's memory, of fitting types and sizes.

    PyTorch refuses maps in bfloat16 without autocast, since the weights are float32; so they are not taken.
    """
    if not can_be_stored(maps) or maps.ndim != 4 or storage_dtype(maps) not in STORAGE_DTYPES:
        return False
    if maps.dtype is not torch.float32 and not torch.is_autocast_enabled("cpu"):
        return False
    shrinkage = 2 * dilation - 2 * padding
    result = maps.shape[0], weight.shape[0], maps.shape[2] - shrinkage, maps.shape[3] - shrinkage
    return (
        all(is_readable(each) and each.dtype is torch.float32 for each in (weight, bias) if each is not None)
        and (bias is None or bias.shape == weight.shape[:1])
        and weight.shape[1:] == (maps.shape[1], 3, 3)
        and min(*maps.shape, *result) > 0
        and max(torch.Size(result[1:]).numel(), maps.shape[1:].numel()) <= MAX_SIZE
        and max(maps.shape[0], maps.shape[0] * result[2] * result[3]) <= MAX_SIZE
        and 36 * (weight.shape[0] + 16) * (weight.shape[1] + 16) <= MAX_SIZE
    )


def padding_of(layer: nn.Conv2d) -> int | None:
    """The rows and columns of zeros on each side of a 3x3 convolution's input; None if the sides differ."""
    if isinstance(layer.padding, str):
        return {"valid": 0, "same": dilation_of(layer)}.get(layer.padding)
    return alike(layer.padding)


def dilation_of(layer: nn.Conv2d) -> int | None:
    """The distance of a convolution's taps; None if that of rows and columns differs."""
    return alike(layer.dilation)


def alike(value: object) -> int | None:
    """The number that stands for rows and columns, or twice in a pair; None for anything else."""
    if type(value) is tuple and len(value) == 2 and value[0] == value[1]:
        value = value[0]
    return value if type(value) is int else None


def has_no_hooks(*layers: nn.Module) -> bool:
    """Whether these layers can be left out of the calls: nothing is hooked to them, or in place of their methods."""
    if not torch_internals.IS_KNOWN or torch_internals.all_layers_are_hooked():
        return False
    return all(has_methods_of_its_class(each) and not torch_internals.is_hooked(each) for each in layers)


def has_methods_of_its_class(layer: nn.Module) -> bool:
    """Whether nothing but what we attached is in place of a layer's methods."""
    own = layer.__dict__
    is_own = isinstance(own.get("forward"), InPlace | None)
    return is_own and isinstance(own.get(torch_internals.METHOD), Attached | None)


def has_pytorchs_methods(kind: type[nn.Module]) -> bool:
    """Whether a class computes what `nn.Conv2d` does, by its methods."""
    return (
        torch_internals.IS_KNOWN
        and issubclass(kind, nn.Conv2d)
        and kind.forward is nn.Conv2d.forward
        and kind._conv_forward is nn.Conv2d._conv_forward
    )


def is_pytorchs_convolution(layer: nn.Module) -> TypeGuard[nn.Conv2d]:
    """Whether a layer computes what `nn.Conv2d` does, though its class may be another."""
    return has_pytorchs_methods(type(layer)) and has_methods_of_its_class(layer)
