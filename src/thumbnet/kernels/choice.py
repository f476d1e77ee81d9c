"""Whose kernels a training runs through: ours, which fuse a network's blocks on a CPU, or PyTorch's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import nn

from thumbnet.errors import ConfigError
from thumbnet.kernels.layer import attach, detach, kernel_forward_of, reason_against
from thumbnet.kernels.library import Kernels, can_load, load_kernels
from thumbnet.kernels.protocol import TakesKernels
from thumbnet.kernels.torch_internals import METHOD
from thumbnet.kernels.warnings_once import say_once
from thumbnet.specs.engine import KERNELS


def pick_kernels(
    name: str,
    model: nn.Module,
    device: torch.device,
    *,
    compiled: bool = False,
    say: Callable[[str], None] | None = None,
) -> Kernels | None:
    """Our kernels, loaded and if need be compiled; None if PyTorch's are to be used.

    Args:
        name: `native` for ours, `pytorch`, or `auto`: ours where the model has blocks or convolutions that they
            run, the device is a CPU and the wheel brought them, or there is a compiler that works.
        compiled: whether the model is to run through `torch.compile`, which cannot see into ours.
        say: gets a sentence if the kernels must be compiled first, if the wheel's cannot be used, and if `auto` cannot
            have any; the latter two are said once. Without it, these are a RuntimeWarning; the first goes to stderr.

    Raises:
        ConfigError: an unknown name; or `native` was asked for and cannot be had.
    """
    if name not in KERNELS:
        raise ConfigError(f"unknown kernels {name!r}", hint=f"choose one of {', '.join(KERNELS)}")
    reasons = {
        "this model has no blocks or convolutions that they run": not any(map(has_use, model.modules())),
        f"the device is {device.type}": device.type != "cpu",
        "compiled is true": compiled,
    }
    against = next((reason for reason, holds in reasons.items() if holds), None)
    if name == "native" and against is not None:
        raise ConfigError(f"kernels is 'native', but {against}", hint="set kernels = 'auto' or 'pytorch'")
    if name == "pytorch" or against is not None or (name == "auto" and not can_load()):
        return None
    try:
        return load_kernels(say=say)
    except ConfigError as error:
        if name == "native":
            raise
        say_once(f"Training through PyTorch's own kernels, since {error}", say)
        return None


def has_use(module: nn.Module) -> bool:
    """Whether our kernels can run this block or convolution, given maps that they support."""
    is_block = isinstance(module, TakesKernels) and module.supports_kernels
    return is_block or (isinstance(module, nn.Conv2d) and reason_against(module) is None)


def runs_fully_fused(model: nn.Module) -> bool:
    """Whether every trainable convolution runs in our kernels."""
    within = {
        part
        for module in model.modules()
        if isinstance(module, TakesKernels) and module.runs_fully_fused
        for part in module.modules()
    }
    trained = [each for each in model.modules() if isinstance(each, nn.Conv2d) and each.weight.requires_grad]
    return bool(trained) and within.issuperset(trained)


def describe_kernels(kernels: Kernels | None) -> str:
    """The name by which a run keeps whose they were."""
    return "pytorch" if kernels is None else f"native ({kernels.origin})"


@contextmanager
def using_kernels(model: nn.Module, kernels: Kernels | None) -> Iterator[None]:
    """While this lasts, the blocks and convolutions of `model` run through these kernels; None: through PyTorch's.

    So do those that had others before, as from `thumbnet.accelerate`: they get theirs back at the end.
    """
    takers = {module: module.kernels for module in model.modules() if isinstance(module, TakesKernels)}
    convolutions = [module for module in model.modules() if isinstance(module, nn.Conv2d)]
    before = {each: vars(each)[METHOD] for each in convolutions if kernel_forward_of(each) is not None}
    for each in convolutions:
        detach(each)
        if kernels is not None and reason_against(each) is None:
            attach(each, kernels)
    for taker in takers:
        taker.kernels = kernels
    try:
        yield
    finally:
        for taker, kernels_before in takers.items():
            taker.kernels = kernels_before
        for each in convolutions:
            detach(each)
        for each, entry in before.items():
            vars(each)[METHOD] = entry
