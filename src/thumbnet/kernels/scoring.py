"""Whose kernels score a model: ours where they are at hand, unless it was trained through PyTorch's."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from weakref import WeakKeyDictionary

from torch import nn

from thumbnet.kernels.choice import has_use, using_kernels
from thumbnet.kernels.library import Kernels, kernels_at_hand
from thumbnet.kernels.support import must_be_seen
from thumbnet.kernels.torch_internals import is_compiled

ATTRIBUTE = "_thumbnet_kernels"  # of a model: whose kernels it is scored by
MIN_IMAGES = 50  # to be scored: for fewer, to load the kernels takes longer than they save


class _Attached:
    """A model's kernels while it scores, in so many threads, and how it is rid of them."""

    def __init__(self) -> None:
        self.num_threads = 0
        self.stack = ExitStack()


_lock = threading.Lock()
_attached: WeakKeyDictionary[nn.Module, _Attached] = WeakKeyDictionary()


def remember_kernels(model: nn.Module, name: str) -> None:
    """Let a model be scored by what it is trained by: `auto`, `native` or `pytorch`, as a recipe's `kernels`."""
    vars(model)[ATTRIBUTE] = name


@contextmanager
def scoring(model: nn.Module, *, num_images: int) -> Iterator[Kernels | None]:
    """While this lasts, a model scores so many images through our kernels, if these can be had without compiling.

    PyTorch's layers do it where they are few, on another device than a CPU, where something must see each operation,
    and where `remember_kernels` was told `pytorch`: then there are None. What `thumbnet.accelerate` gave kernels keeps
    them in any case. Several threads may score one model.
    """
    kernels = _kernels_for(model, num_images)
    if kernels is None:
        yield None
        return
    with _lock:
        attached = _attached.setdefault(model, _Attached())
        if attached.num_threads == 0:
            attached.stack.enter_context(using_kernels(model, kernels))
        attached.num_threads += 1
    try:
        yield kernels
    finally:
        with _lock:
            attached.num_threads -= 1
            if attached.num_threads == 0:
                attached.stack.close()


def _kernels_for(model: nn.Module, num_images: int) -> Kernels | None:
    modules = list(model.modules())
    if (
        num_images < MIN_IMAGES
        or must_be_seen()
        or any(vars(each).get(ATTRIBUTE) == "pytorch" or is_compiled(each) for each in modules)
        or any(each.device.type != "cpu" for each in model.parameters())
        or not any(map(has_use, modules))
    ):
        return None
    return kernels_at_hand()
