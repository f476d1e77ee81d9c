"""Whose kernels score a model: ours where they are at hand, unless it was to be trained through PyTorch's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from thumbnet.kernels.choice import has_use, using_kernels
from thumbnet.kernels.library import Kernels, kernels_at_hand

ATTRIBUTE = "_thumbnet_kernels"  # of a model: the name that was given for whose kernels it runs through
MIN_IMAGES = 50  # to be scored: for fewer, to load the kernels takes longer than they save


def remember_kernels(model: nn.Module, name: str) -> None:
    """Let a model be scored by what it is trained by: `auto`, `native` or `pytorch`, as a recipe's `kernels`."""
    vars(model)[ATTRIBUTE] = name


@contextmanager
def scoring(model: nn.Module, *, num_images: int) -> Iterator[Kernels | None]:
    """While this lasts, a model scores so many images through our kernels, if these can be had without compiling.

    PyTorch's layers do it where they are few, on another device than a CPU, and where `remember_kernels` was told
    `pytorch`: then there are None. What `thumbnet.accelerate` gave kernels keeps them in any case.
    """
    kernels = _kernels_for(model, num_images)
    if kernels is None:
        yield None
        return
    with using_kernels(model, kernels):
        yield kernels


def _kernels_for(model: nn.Module, num_images: int) -> Kernels | None:
    if (
        num_images < MIN_IMAGES
        or vars(model).get(ATTRIBUTE) == "pytorch"
        or any(each.device.type != "cpu" for each in model.parameters())
        or not any(map(has_use, model.modules()))
    ):
        return None
    return kernels_at_hand()
