"""Convolutions of 3x3 with stride 1 by our kernels, as a function that PyTorch can differentiate.

Maps are [N,C,H,W] in channels_last, stored as float32 or bfloat16; what is computed in between is float32. For maps and
weights as in training, the result's error is below 3e-6 and that of the gradients below 1e-5 in the 2-norm, relative to
the size of what is added up (Winograd's minimal filters; see `minimal_filters.h`).
Gradients that are to be differentiated again, or seen by a transform of PyTorch's, are computed by PyTorch.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from thumbnet.kernels.saved_values import are_as_kept, keep
from thumbnet.kernels.support import STORAGE_DTYPES, is_readable, must_be_seen, storage_dtype


def convolve(
    library: ctypes.CDLL,
    maps: Float[Tensor, "n c h w"],
    weight: Float[Tensor, "k c 3 3"],
    bias: Float[Tensor, " k"] | None = None,
    *,
    padding: int = 0,
    dilation: int = 1,
) -> Float[Tensor, "n k h2 w2"]:
    """`F.conv2d` with stride 1 and zeros around, for maps and weights that `supports_convolution` accepts."""
    dtype = storage_dtype(maps)
    assert dtype in STORAGE_DTYPES
    maps = stored(maps, dtype)
    weight, bias = with_even_taps(weight), None if bias is None else bias.contiguous()
    result: Tensor = Convolution.apply(library, maps, weight, bias, padding, dilation)  # type: ignore[no-untyped-call]
    return result


class Convolution(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        library: ctypes.CDLL,
        maps: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        padding: int,
        dilation: int,
    ) -> Tensor:
        result = torch.empty(
            convolved_shape(maps, weight, padding, dilation),
            dtype=maps.dtype,
            device="cpu",
            memory_format=torch.channels_last,
        )
        sizes = convolution_sizes(maps, weight, padding, dilation)
        library.thumbnet_convolution_forward(*pointers(maps, weight, bias, result), *sizes, torch.get_num_threads())
        ctx.library, ctx.padding, ctx.dilation = library, padding, dilation
        keep(ctx, maps, weight)
        return result

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        maps, weight = ctx.saved_tensors
        geometry = ctx.padding, ctx.dilation
        can_be_ours = is_readable(gradient) and are_as_kept(ctx, maps, weight)
        if torch.is_grad_enabled() or must_be_seen() or not can_be_ours:
            found = _gradients_by_pytorch(gradient, maps, weight, *geometry, ctx.needs_input_grad[1:4])
            return None, *found, None, None
        maps, gradient = stored(maps, maps.dtype), stored(gradient, maps.dtype)
        weight = with_even_taps(weight)
        needs_maps, needs_weight, needs_bias = ctx.needs_input_grad[1:4]
        of_maps = torch.empty_like(maps) if needs_maps else None
        of_weight = torch.empty_like(weight) if needs_weight else None
        of_bias = torch.empty(len(weight), dtype=torch.float32, device="cpu") if needs_bias else None
        ctx.library.thumbnet_convolution_backward(
            *pointers(gradient, maps, weight, of_maps, of_weight, of_bias),
            *convolution_sizes(maps, weight, *geometry),
            torch.get_num_threads(),
        )
        return None, of_maps, of_weight, of_bias, None, None


def _gradients_by_pytorch(
    gradient: Tensor, maps: Tensor, weight: Tensor, padding: int, dilation: int, needed: Sequence[bool]
) -> tuple[Tensor | None, ...]:
    """Those of the maps, the weight and the bias, as a function that can be differentiated again."""
    of_maps, of_weight, of_bias = torch.ops.aten.convolution_backward(
        gradient.to(maps.dtype),
        *(maps, weight.to(maps.dtype)),
        *([len(weight)], [1, 1], [padding, padding], [dilation, dilation]),
        *(False, [0, 0], 1),  # not transposed, and in one group
        needed,
    )
    return of_maps, *(None if each is None else each.to(weight.dtype) for each in (of_weight, of_bias))


def stored(maps: Tensor, dtype: torch.dtype) -> Tensor:
    """Maps in this number format and in channels_last."""
    return maps.to(dtype).contiguous(memory_format=torch.channels_last)


def with_even_taps(weight: Tensor) -> Tensor:
    """The weight, copied unless its nine taps are equally far apart in memory and it has no gaps."""
    for memory_format in (torch.channels_last, torch.contiguous_format):
        if weight.is_contiguous(memory_format=memory_format):
            return weight
    return weight.contiguous()


def convolved_shape(maps: Tensor, weight: Tensor, padding: int, dilation: int) -> torch.Size:
    """[N,C,H,W] of the result."""
    batch, _, height, width = maps.shape
    shrinkage = 2 * dilation - 2 * padding
    return torch.Size((batch, len(weight), height - shrinkage, width - shrinkage))


def convolution_sizes(maps: Tensor, weight: Tensor, padding: int, dilation: int) -> tuple[int, ...]:
    """The numbers by which the library knows a convolution: of storage, shapes, and the weight's strides."""
    batch, in_channels, height, width = maps.shape
    strides = weight.stride(0), weight.stride(1), weight.stride(3)
    is_bfloat16 = int(maps.dtype == torch.bfloat16)
    return is_bfloat16, batch, height, width, in_channels, len(weight), padding, dilation, *strides


def pointers(*tensors: Tensor | None) -> list[int | None]:
    """Where each tensor's numbers begin; None stays None."""
    return [None if tensor is None else tensor.data_ptr() for tensor in tensors]
