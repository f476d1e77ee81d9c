"""Which values our kernels can read: checked before a pointer is taken. All else is left to PyTorch's own layers."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from thumbnet.kernels import torch_internals

STORAGE_DTYPES = (torch.float32, torch.bfloat16)
PLAIN = (Tensor, nn.Parameter)  # a subclass may have no memory of its own, or another meaning
MAX_SIZE = 2**31 - 1  # the kernels count in ints


def must_be_seen() -> bool:
    """Whether something is at work that must see each of a layer's operations, so that our kernels stay aside.

    That is a compiler or tracer, a transform of `torch.func`, forward-mode differentiation, or a mode that handles
    operations in PyTorch's place (fake tensors, a counter of operations); not a mode that sets the default device.
    """
    return (
        torch.compiler.is_compiling() or not torch_internals.IS_KNOWN or torch_internals.something_must_see_operations()
    )


def is_readable(values: Tensor) -> bool:
    """Whether the numbers stand in a CPU's memory as they are.

    They do not in a subclass, a sparse tensor, one that is yet to be negated, zeros without memory, or several in one.
    """
    return (
        type(values) in PLAIN
        and torch_internals.IS_KNOWN
        and values.layout is torch.strided
        and values.device.type == "cpu"
        and not values.is_neg()
        and not torch_internals.is_batched_or_without_memory(values)
    )


def can_be_stored(maps: Tensor) -> bool:
    """Whether these are maps in a CPU's memory, in a number format that the kernels know."""
    return is_readable(maps) and maps.dtype in STORAGE_DTYPES


def storage_dtype(maps: Tensor) -> torch.dtype:
    """The number format that maps are stored in: autocast's if it is on, else their own."""
    return torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else maps.dtype
