"""Muon's step on a network's filters as one call of our kernels, where PyTorch takes 25 small operations for each."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from thumbnet.kernels.support import MAX_SIZE, is_readable, must_be_seen

MAX_SIDE = 128  # of the smaller side of a filter's matrix: PyTorch's two threads share one larger filter in less time
MEMORY_FORMATS = (torch.channels_last, torch.contiguous_format)  # both have a filter's rows one after the other


def supports_filter(weight: Tensor, gradient: Tensor, momentum: Tensor) -> bool:
    """Whether our kernels can take the step on this filter, whose matrix is [K,M], and are faster than PyTorch's.

    All three are float32 in a CPU's memory, without gaps and in the same order.
    """
    tensors = weight, gradient, momentum
    shape, size = weight.shape, weight.numel()
    return (
        all(is_readable(each) and each.dtype is torch.float32 and each.shape == shape for each in tensors)
        and len(shape) == 4
        and 0 < size <= MAX_SIZE // 4
        and min(shape[0], size // shape[0]) <= MAX_SIDE
        and any(all(each.is_contiguous(memory_format=order) for each in tensors) for order in MEMORY_FORMATS)
    )


def can_step(weights: Sequence[Tensor], gradients: Sequence[Tensor], momenta: Sequence[Tensor]) -> bool:
    """Whether our kernels can take these filters, which they support one by one, side by side.

    Nothing must watch PyTorch's operations, and no two of the tensors may share memory.
    """
    if must_be_seen():
        return False
    spans = sorted((each.data_ptr(), 4 * each.numel()) for each in (*weights, *gradients, *momenta))
    return all(start + size <= following for (start, size), (following, _) in pairwise(spans))


def muon_step(
    library: ctypes.CDLL,
    weights: Sequence[Tensor],
    gradients: Sequence[Tensor],
    momenta: Sequence[Tensor],
    *,
    lr: float,
    momentum: float,
) -> None:
    """Change filters and their momenta in place, as `MuonOptimizer` does: `supports_filter` and `can_step` hold."""
    pointers, numbers = ctypes.c_void_p * len(weights), ctypes.c_int * len(weights)
    rows = [each.shape[0] for each in weights]
    columns = [each.numel() // num_rows for each, num_rows in zip(weights, rows, strict=True)]
    library.thumbnet_muon_step(
        *(pointers(*(each.data_ptr() for each in tensors)) for tensors in (weights, gradients, momenta)),
        *(numbers(*rows), numbers(*columns)),
        *(len(weights), lr, momentum, torch.get_num_threads()),
    )
    torch.autograd.graph.increment_version([*weights, *momenta])  # PyTorch cannot see what was written
