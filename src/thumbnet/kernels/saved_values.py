"""What a function keeps for its backward pass, in the form in which it was kept.

`torch.autograd.graph.saved_tensors_hooks` may move or pack it in between, and give back equal numbers in another order
in memory, or others. Pointers are taken only from what has the type, the shape and the order that it had.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from thumbnet.errors import TrainingError
from thumbnet.kernels.support import is_readable

Form = tuple[torch.dtype, torch.Size, tuple[int, ...], int]  # the last: where the numbers begin


def keep(ctx: Any, *tensors: Tensor | None) -> None:
    """Save tensors for the backward pass, and their forms beside them."""
    ctx.save_for_backward(*tensors)
    ctx.forms = tuple(None if each is None else _form_of(each) for each in tensors)


def kept(ctx: Any) -> tuple[Any, ...]:
    """The tensors that `keep` saved, each in the order in memory that it had.

    Raises:
        TrainingError: a hook gave back another type or shape, or what is not in a CPU's memory.
    """
    return tuple(
        tensor if form is None else _restored(tensor, form)
        for tensor, form in zip(ctx.saved_tensors, ctx.forms, strict=True)
    )


def are_as_kept(ctx: Any, *tensors: Tensor) -> bool:
    """Whether these saved tensors have the types and shapes that they had, and can be read; in whatever order."""
    return all(
        is_readable(each) and _form_of(each)[:2] == form[:2] for each, form in zip(tensors, ctx.forms, strict=True)
    )


def _form_of(tensor: Tensor) -> Form:
    return tensor.dtype, tensor.shape, tensor.stride(), tensor.data_ptr()


def _restored(tensor: Tensor, form: Form) -> Tensor:
    found = _form_of(tensor)
    if found == form:  # the same memory: nothing has happened to it
        return tensor
    dtype, shape, strides, _ = form
    if found[:2] != form[:2] or not is_readable(tensor):
        raise TrainingError(
            f"values saved for the backward pass came back as {found[0]} {list(found[1])} on {tensor.device.type}, "
            f"not as {dtype} {list(shape)} in a CPU's memory",
            hint="let saved_tensors_hooks give back what they got, or set kernels = 'pytorch'",
        )
    has_order = found[2] == strides
    return tensor if has_order else torch.empty_strided(shape, strides, dtype=dtype, device="cpu").copy_(tensor)
