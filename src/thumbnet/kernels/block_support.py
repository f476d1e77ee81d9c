"""Which blocks our kernels can run: their layers, and the maps that they are given."""

from __future__ import annotations

from typing import TypeGuard, TypeVar

import torch
from torch import Tensor, nn

from thumbnet.kernels.convolution_support import (
    alike,
    dilation_of,
    has_no_hooks,
    is_pytorchs_convolution,
    padding_of,
    supports_convolution,
    supports_convolution_layer,
)
from thumbnet.kernels.support import MAX_SIZE, PLAIN, STORAGE_DTYPES, can_be_stored, storage_dtype

CHANNEL_MULTIPLE = 8  # on every processor, so that what is fused does not depend on it
MIN_SCORED = 4  # images at a time; whatever the number of threads is, so that results do not depend on it
Layer = TypeVar("Layer", bound=nn.Module)


def supports_norm_layer(norm: nn.Module) -> TypeGuard[nn.BatchNorm2d]:
    """Whether our kernels can run this layer, given maps and a device that suit them.

    It must be an `nn.BatchNorm2d` itself, with parameters and running statistics in float32 without gaps, a fixed
    momentum, and a multiple of 8 channels.
    """
    if not _is_unchanged(norm, nn.BatchNorm2d):
        return False
    return (
        norm.num_features % CHANNEL_MULTIPLE == 0
        and norm.num_batches_tracked is not None
        and isinstance(norm.momentum, float | int)
        and all(
            _is_float32(each) and each.is_contiguous() and each.shape == (norm.num_features,) for each in _vectors(norm)
        )
    )


def supports_separable_layers(pointwise: nn.Module, depthwise: nn.Module, norm: nn.Module) -> bool:
    """Whether our kernels can run these three layers as one, given maps and a device that suit them.

    The convolutions must be an `nn.Conv2d` each, in float32, without bias and strides: 1x1 in one group without
    padding, and 3x3 in a group a channel, padded with as many zeros as it is dilated by.
    """
    return (
        _is_plain_convolution(pointwise, kernel_size=(1, 1))  # first, since a plain block ends here
        and supports_norm_layer(norm)
        and pointwise.groups == 1
        and alike(pointwise.padding) == 0
        and pointwise.out_channels == norm.num_features
        and _is_plain_convolution(depthwise, kernel_size=(3, 3))
        and depthwise.groups == depthwise.in_channels == depthwise.out_channels == norm.num_features
        and (dilation := dilation_of(depthwise)) is not None
        and padding_of(depthwise) == dilation <= MAX_SIZE // 2
    )


def supports_norm(maps: Tensor, norm: nn.Module, *, pools: bool, shortcut: Tensor | None = None) -> TypeGuard[Tensor]:
    """Whether our kernels can run this norm on these maps, pooled before or not, with this shortcut."""
    return (
        supports_norm_layer(norm)
        and _suit(maps, norm, pools=pools)
        and maps.shape[1] == norm.num_features
        and (shortcut is None or (can_be_stored(shortcut) and shortcut.shape == pooled_shape(maps.shape, pools=pools)))
    )


def supports_separable(
    maps: Tensor, pointwise: nn.Module, depthwise: nn.Module, norm: nn.Module, *, pools: bool, has_shortcut: bool
) -> bool:
    """Whether our kernels can run a whole separable block on these maps."""
    if not supports_separable_layers(pointwise, depthwise, norm):
        return False
    assert isinstance(pointwise, nn.Conv2d)
    assert isinstance(depthwise, nn.Conv2d)
    in_channels, out_channels = pointwise.in_channels, pointwise.out_channels
    return (
        _suit(maps, norm, pools=pools)
        and pointwise.weight.device.type == depthwise.weight.device.type == "cpu"
        and maps.shape[1] == in_channels
        and (not maps.requires_grad or in_channels % CHANNEL_MULTIPLE == 0)
        and (not has_shortcut or (in_channels == out_channels and not pools))
        and maps.shape[2] * maps.shape[3] * max(in_channels, out_channels) <= MAX_SIZE
        and in_channels * out_channels <= MAX_SIZE
    )


def supports_plain_layers(conv: nn.Module, norm: nn.Module) -> bool:
    """Whether our kernels can run these two layers as one, given maps and a device that suit them.

    The convolution must be an `nn.Conv2d` in float32 without bias and strides, 3x3 in one group, with a padding that
    `supports_convolution_layer` accepts.
    """
    return (
        supports_convolution_layer(conv)
        and _is_plain_convolution(conv, kernel_size=(3, 3))
        and supports_norm_layer(norm)
        and conv.out_channels == norm.num_features
    )


def supports_plain(
    maps: Tensor, conv: nn.Module, norm: nn.Module, *, pools: bool, has_shortcut: bool
) -> TypeGuard[Tensor]:
    """Whether our kernels can run a whole plain block on these maps."""
    if not supports_plain_layers(conv, norm):
        return False
    assert isinstance(conv, nn.Conv2d)
    padding, dilation = padding_of(conv), dilation_of(conv)
    assert padding is not None
    assert dilation is not None
    if not supports_convolution(maps, conv.weight, None, padding=padding, dilation=dilation):
        return False
    same_shape = conv.in_channels == conv.out_channels and padding == dilation
    return (
        maps.shape[1] == conv.in_channels >= CHANNEL_MULTIPLE
        and _suit(maps, norm, pools=pools, shrinkage=2 * dilation - 2 * padding)
        and (not has_shortcut or (same_shape and not pools))
    )


def supports_strided(
    maps: Tensor, conv: nn.Module, norm: nn.Module, *, whitening: nn.Module | None = None
) -> TypeGuard[Tensor]:
    """Whether our kernels can run a plain block of stride 2 on these maps.

    Its convolution must be an `nn.Conv2d` in float32, 3x3 in one group without bias, padded by 1. With `whitening`,
    `maps` are images that need no gradient, and it is a frozen convolution of 2x2 in float32 without bias.
    """
    if not (
        _is_plain_convolution(conv, kernel_size=(3, 3), stride=2)
        and supports_norm_layer(norm)
        and conv.groups == 1
        and padding_of(conv) == dilation_of(conv) == 1
        and conv.weight.device.type == "cpu"
        and conv.out_channels == norm.num_features
        and can_be_stored(maps)
        and maps.ndim == 4
        and maps.shape[2] * maps.shape[3] > 0
    ):
        return False
    grown = 0
    if whitening is None:
        channels = maps.shape[1]
    else:
        if not _is_frozen_whitening(whitening) or maps.requires_grad or maps.dtype is not torch.float32:
            return False
        if whitening.in_channels != maps.shape[1]:
            return False
        channels, grown = whitening.out_channels, 2 * int(whitening.padding[0]) - 1
    batch, _, height, width = maps.shape
    size = (height + grown + 1) // 2, (width + grown + 1) // 2
    return (
        channels == conv.in_channels
        and min(height + grown, width + grown) > 0
        and _trains_or_scores(norm, batch)
        and all(each is not None and each.device.type == "cpu" for each in _vectors(norm))
        and storage_dtype(maps) in STORAGE_DTYPES
        and batch * size[0] * size[1] > 1
        and 4 * (size[0] + 1) * (size[1] + 2) * (max(channels, conv.out_channels) + 16) <= MAX_SIZE
        and max(maps.shape) <= MAX_SIZE // 4
        and 9 * (channels + 16) * (conv.out_channels + 16) <= MAX_SIZE
    )


def _is_frozen_whitening(layer: nn.Module) -> TypeGuard[nn.Conv2d]:
    return (
        is_pytorchs_convolution(layer)
        and has_no_hooks(layer)
        and _is_float32(layer.weight)
        and layer.weight.device.type == "cpu"
        and not layer.weight.requires_grad
        and layer.bias is None
        and (layer.kernel_size, layer.stride, layer.dilation, layer.groups) == ((2, 2), (1, 1), (1, 1), 1)
        and isinstance(layer.padding, tuple)
        and layer.padding[0] == layer.padding[1] <= MAX_SIZE // 4
        and layer.padding_mode == "zeros"
        and layer.weight.shape == (layer.out_channels, layer.in_channels, 2, 2)
    )


def pooled_shape(shape: torch.Size, *, pools: bool) -> torch.Size:
    """[N,C,H,W] after a max-pool of 2x2 pixels, or as it is."""
    batch, channels, height, width = shape
    return torch.Size((batch, channels, height // 2, width // 2)) if pools else shape


def _suit(maps: Tensor, norm: nn.Module, *, pools: bool, shrinkage: int = 0) -> bool:
    """Whether these are maps in a CPU's memory that a block with this norm can have come to.

    `shrinkage` is by how many pixels a side they become smaller before they are pooled.
    """
    if not can_be_stored(maps) or maps.ndim != 4 or storage_dtype(maps) not in STORAGE_DTYPES:
        return False
    batch, channels, height, width = maps.shape
    convolved = torch.Size((batch, channels, height - shrinkage, width - shrinkage))
    batch, _, height, width = pooled_shape(convolved, pools=pools)
    return (
        _trains_or_scores(norm, batch)
        and all(each is not None and each.device.type == "cpu" for each in _vectors(norm))
        and batch * height * width > 1  # PyTorch says why one value has no deviation
        and max(maps.shape) <= MAX_SIZE
        and maps.shape[1:].numel() <= MAX_SIZE
    )


def _trains_or_scores(norm: nn.Module, batch: int) -> bool:
    """Whether a norm takes the batch's statistics, or its running ones with nothing to be differentiated: then of some
    images, since each is one thread's work, and huge ones come one by one."""
    return norm.training or (batch >= MIN_SCORED and not torch.is_grad_enabled())


def _vectors(norm: nn.Module) -> tuple[Tensor | None, ...]:
    """The values of a norm that the kernels read and write. (Through these dictionaries in a third of the time.)"""
    parameters, buffers = norm._parameters, norm._buffers
    return parameters.get("weight"), parameters.get("bias"), buffers.get("running_mean"), buffers.get("running_var")


def _is_float32(values: Tensor | None) -> TypeGuard[Tensor]:
    return type(values) in PLAIN and values.layout is torch.strided and values.dtype is torch.float32  # type: ignore[union-attr]


def _is_plain_convolution(layer: nn.Module, *, kernel_size: tuple[int, int], stride: int = 1) -> TypeGuard[nn.Conv2d]:
    return (
        _is_unchanged(layer, nn.Conv2d)
        and _is_float32(layer.weight)
        and layer.bias is None
        and layer.kernel_size == kernel_size
        and alike(layer.stride) == stride
        and layer.padding_mode == "zeros"
        and layer.weight.shape == (layer.out_channels, layer.in_channels // layer.groups, *kernel_size)
    )


def _is_unchanged(layer: nn.Module, kind: type[Layer]) -> TypeGuard[Layer]:
    """Whether a layer does what its class does: it is no subclass, and nothing is hooked to it or put in its place."""
    return type(layer) is kind and has_no_hooks(layer)
