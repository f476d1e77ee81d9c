"""Blocks by our kernels as functions that PyTorch can differentiate once. Maps are [N,C,H,W] in channels_last, stored
as float32 or bfloat16; what is computed in between is float32.

With a norm that is not in training they score by its running statistics, and keep nothing: PyTorch calls no `backward`
then, since they are called without gradients (`block_support` sees to it)."""

from __future__ import annotations

import ctypes
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from thumbnet.kernels.block_support import pooled_shape
from thumbnet.kernels.convolution import convolution_sizes, convolved_shape, pointers, stored, with_even_taps
from thumbnet.kernels.saved_values import keep, kept


class Norm(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        library: ctypes.CDLL,
        maps: Tensor,
        shortcut: Tensor | None,
        gamma: Tensor,
        beta: Tensor,
        norm: nn.BatchNorm2d,
        pools: bool,
    ) -> Tensor:
        batch, channels, height, width = maps.shape
        result, largest = _empty_result(maps, maps.shape, pools)
        scores = not norm.training
        pooled = (result if scores else torch.empty_like(result)) if pools else maps
        saved = _scratch(4, channels)
        library.thumbnet_norm_forward(
            *pointers(maps, shortcut, gamma, beta, *_running(norm)),
            *(norm.momentum, norm.eps),
            *pointers(pooled, largest, result, saved),
            *_numbers(maps, batch, height, width, channels, int(scores)),
        )
        if scores:
            return result
        ctx.library, ctx.before, ctx.has_shortcut = library, maps.shape, shortcut is not None
        keep(ctx, pooled, largest, saved)
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        pooled, largest, saved = kept(ctx)
        gradient = stored(gradient, pooled.dtype)
        before = torch.empty(ctx.before, dtype=pooled.dtype, device="cpu", memory_format=torch.channels_last)
        batch, channels, height, width = ctx.before
        of_gamma, of_beta = _scratch(channels), _scratch(channels)
        ctx.library.thumbnet_norm_backward(
            *pointers(gradient, pooled, largest, saved, before, of_gamma, of_beta),
            *_numbers(before, batch, height, width, channels),
        )
        return None, before, gradient if ctx.has_shortcut else None, of_gamma, of_beta, None, None


class Separable(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        library: ctypes.CDLL,
        maps: Tensor,
        pointwise: Tensor,
        depthwise: Tensor,
        gamma: Tensor,
        beta: Tensor,
        norm: nn.BatchNorm2d,
        dilation: int,
        pools: bool,
        has_shortcut: bool,
    ) -> Tensor:
        batch, in_channels, height, width = maps.shape
        out_channels = len(pointwise)
        result, largest = _empty_result(maps, torch.Size((batch, out_channels, height, width)), pools)
        scores = not norm.training
        filtered = result if scores else torch.empty_like(result)
        mixed = None if scores else maps.new_empty(batch, height, width, out_channels)
        saved = _scratch(4, out_channels)
        by_output, by_tap = pointwise.flatten(1).contiguous(), depthwise.flatten(1).t().contiguous()
        by_input = by_output.t().contiguous()
        library.thumbnet_separable_forward(
            *pointers(maps, by_input, by_tap, gamma, beta, *_running(norm)),
            *(norm.momentum, norm.eps),
            *pointers(mixed, filtered, largest, result, saved),
            *_numbers(maps, batch, height, width, in_channels, out_channels, dilation, int(has_shortcut), int(scores)),
        )
        if scores:
            return result
        ctx.library, ctx.dilation, ctx.has_shortcut = library, dilation, has_shortcut
        keep(ctx, maps, mixed, filtered, largest, by_output, by_tap, saved)
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        maps, mixed, filtered, largest, by_output, by_tap, saved = kept(ctx)
        gradient = stored(gradient, maps.dtype)
        of_maps = torch.empty_like(maps) if ctx.needs_input_grad[1] else None
        batch, in_channels, height, width = maps.shape
        out_channels = len(by_output)
        of_inputs, of_taps = _scratch(in_channels, out_channels), torch.empty_like(by_tap)
        of_gamma, of_beta = _scratch(out_channels), _scratch(out_channels)
        ctx.library.thumbnet_separable_backward(
            *pointers(
                *(gradient, maps, mixed, filtered, largest),
                *(by_output, by_tap, saved, of_maps, of_inputs, of_taps, of_gamma, of_beta),
            ),
            *_numbers(maps, batch, height, width, in_channels, out_channels, ctx.dilation, int(ctx.has_shortcut)),
        )
        of_pointwise = of_inputs.t().reshape(out_channels, in_channels, 1, 1)
        of_depthwise = of_taps.t().reshape(out_channels, 1, 3, 3)
        return None, of_maps, of_pointwise, of_depthwise, of_gamma, of_beta, None, None, None, None


class Plain(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        library: ctypes.CDLL,
        maps: Tensor,
        weight: Tensor,
        gamma: Tensor,
        beta: Tensor,
        norm: nn.BatchNorm2d,
        padding: int,
        dilation: int,
        pools: bool,
        has_shortcut: bool,
    ) -> Tensor:
        weight = with_even_taps(weight)
        sizes = convolution_sizes(maps, weight, padding, dilation)
        before = convolved_shape(maps, weight, padding, dilation)
        result, largest = _empty_result(maps, before, pools)
        scores = not norm.training
        convolved = result if scores else torch.empty_like(result)
        saved = _scratch(4, len(weight))
        library.thumbnet_plain_forward(
            *pointers(maps, weight, gamma, beta, *_running(norm)),
            *(norm.momentum, norm.eps),
            *pointers(convolved, largest, result, saved),
            *sizes,
            *(int(has_shortcut), int(scores), torch.get_num_threads()),
        )
        if scores:
            return result
        ctx.library, ctx.sizes, ctx.has_shortcut = library, sizes, has_shortcut
        keep(ctx, maps, convolved, largest, weight, saved)
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        maps, convolved, largest, weight, saved = kept(ctx)
        gradient = stored(gradient, maps.dtype)
        of_maps = torch.empty_like(maps) if ctx.needs_input_grad[1] else None
        of_weight = torch.empty_like(weight) if ctx.needs_input_grad[2] else None
        of_gamma, of_beta = _scratch(len(weight)), _scratch(len(weight))
        ctx.library.thumbnet_plain_backward(
            *pointers(gradient, maps, convolved, largest, weight, saved, of_maps, of_weight, of_gamma, of_beta),
            *ctx.sizes,
            *(int(ctx.has_shortcut), torch.get_num_threads()),
        )
        return None, of_maps, of_weight, of_gamma, of_beta, None, None, None, None, None


class Strided(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        library: ctypes.CDLL,
        maps: Tensor,
        weight: Tensor,
        gamma: Tensor,
        beta: Tensor,
        norm: nn.BatchNorm2d,
        patches: tuple[Tensor, int] | None,
        storage: torch.dtype,
    ) -> Tensor:
        weight = with_even_taps(weight)
        batch, channels, height, width = maps.shape
        whitening, padding = (None, 0) if patches is None else patches
        grown = 0 if whitening is None else 2 * padding - 1
        shape = batch, len(weight), (height + grown + 1) // 2, (width + grown + 1) // 2
        result = torch.empty(shape, dtype=storage, device="cpu", memory_format=torch.channels_last)
        scores = not norm.training
        convolved = result if scores else torch.empty_like(result)
        saved = _scratch(4, len(weight))
        sizes = (
            *(int(storage == torch.bfloat16), batch, height, width, channels, len(weight)),
            *(0 if whitening is None else len(whitening), padding),
            *(weight.stride(0), weight.stride(1), weight.stride(3)),
        )
        library.thumbnet_strided_forward(
            *pointers(maps, whitening, weight, gamma, beta, *_running(norm)),
            *(norm.momentum, norm.eps),
            *pointers(convolved, result, saved),
            *sizes,
            *(int(scores), torch.get_num_threads()),
        )
        if scores:
            return result
        ctx.library, ctx.sizes = library, sizes
        keep(ctx, maps, whitening, convolved, weight, saved)
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        maps, whitening, convolved, weight, saved = kept(ctx)
        gradient = stored(gradient, convolved.dtype)
        of_maps = torch.empty_like(maps) if ctx.needs_input_grad[1] else None
        of_weight, of_gamma, of_beta = torch.empty_like(weight), _scratch(len(weight)), _scratch(len(weight))
        ctx.library.thumbnet_strided_backward(
            *pointers(gradient, maps, whitening, convolved, weight, saved, of_maps, of_weight, of_gamma, of_beta),
            *ctx.sizes,
            torch.get_num_threads(),
        )
        return None, of_maps, of_weight, of_gamma, of_beta, None, None, None


def _empty_result(maps: Tensor, before: torch.Size, pools: bool) -> tuple[Tensor, Tensor | None]:
    """Empty output, and the argmax buffer if the block pools maps of this shape."""
    shape = pooled_shape(before, pools=pools)
    result = torch.empty(shape, dtype=maps.dtype, device="cpu", memory_format=torch.channels_last)
    return result, torch.empty(result.numel(), dtype=torch.uint8, device="cpu") if pools else None


def _scratch(*shape: int) -> Tensor:
    """An empty tensor of float32, whatever the default type and device of new tensors are."""
    return torch.empty(shape, dtype=torch.float32, device="cpu")


def _running(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """The running statistics, which the kernels update in training, after counting one more batch."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    assert norm.num_batches_tracked is not None
    if norm.training:
        norm.num_batches_tracked.add_(1)
    return norm.running_mean, norm.running_var


def _numbers(maps: Tensor, *sizes: int) -> tuple[int, ...]:
    return int(maps.dtype == torch.bfloat16), *sizes, torch.get_num_threads()
