"""Whose kernels each convolution of a model trains through, seen in one training step as `fit` does it."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.graph import Node

from thumbnet.kernels.choice import using_kernels
from thumbnet.kernels.library import Kernels
from thumbnet.models.trace import trace_model

OURS, PYTORCH, FROZEN = "ours", "PyTorch", "frozen"  # the latter: its weights are not trained
KERNELS_PACKAGE = "thumbnet.kernels"
# A weight in another number format or order is the same weight.
CASTS_AND_COPIES = ("ToCopyBackward0", "CloneBackward0")


@dataclass(frozen=True)
class LayerKernels:
    """A convolution by its path in the model, what it computes, and whose kernels train it."""

    name: str
    shape: str
    macs: int
    kernels: str


def kernels_by_layer(
    model: nn.Module, library: Kernels | None, images: Float[Tensor, "n c h w"], *, dtype: torch.dtype
) -> tuple[LayerKernels, ...]:
    """The convolutions of a model in call order.

    Args:
        library: our kernels, or None where the model trains without them.
        images: as many as a step has, which the choice depends on; the model is copied, and stays as it is.
        dtype: of the convolutions, as `pick_precision` gives it.
    """
    model = copy.deepcopy(model).train()
    with torch.enable_grad(), using_kernels(model, library), _autocast(images.device.type, dtype):
        loss = model(images.contiguous(memory_format=torch.channels_last)).sum()
    ours = set(_weights_of_our_kernels(loss))
    layers = dict(model.named_modules())
    found = []
    for node in trace_model(model, (images.shape[1], images.shape[2], images.shape[3])).nodes:
        layer = layers.get(node.name)
        if isinstance(layer, nn.Conv2d):
            trained = OURS if id(layer.weight) in ours else PYTORCH
            kernels = trained if layer.weight.requires_grad else FROZEN
            found.append(LayerKernels(node.name, _describe(layer, node.output_shape), node.macs, kernels))
    return tuple(found)


def _autocast(device: str, dtype: torch.dtype) -> torch.autocast | nullcontext[None]:
    return nullcontext() if dtype is torch.float32 else torch.autocast(device, dtype=dtype)


def _weights_of_our_kernels(loss: Tensor) -> Iterator[int]:
    """The ids of the parameters that our functions take, found in the graph by which PyTorch differentiates."""
    waiting: list[Node | None] = [loss.grad_fn]
    seen: set[Node] = set()
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        forward = getattr(node, "_forward_cls", None)  # of an autograd.Function written in Python
        is_ours = forward is not None and forward.__module__.startswith(KERNELS_PACKAGE)
        waiting += [following for following, _ in node.next_functions]
        if is_ours:
            yield from (id(weight) for following, _ in node.next_functions for weight in _weight_behind(following))


def _weight_behind(node: Node | None) -> Iterator[Tensor]:
    """The parameter that goes into this step, if it does so as it is, or in another number format or order."""
    while node is not None and node.name() in CASTS_AND_COPIES:
        node = node.next_functions[0][0]
    variable = getattr(node, "variable", None)
    if variable is not None:
        yield variable


def _describe(layer: nn.Conv2d, output_shape: tuple[int, ...]) -> str:
    """Such as `3x3, 32 to 64, 16x16, dilated by 2`: the kernel, the channels, and the size of the result."""
    kernel, stride, dilation = layer.kernel_size, layer.stride, layer.dilation
    details = [
        f"{kernel[0]}x{kernel[1]}",
        f"{layer.in_channels} to {layer.out_channels}",
        "x".join(map(str, output_shape[1:])),
    ]
    details += [f"stride {stride[0]}"] * (max(stride) > 1) + [f"dilated by {dilation[0]}"] * (max(dilation) > 1)
    return ", ".join(details + [f"{layer.groups} groups"] * (layer.groups > 1))
