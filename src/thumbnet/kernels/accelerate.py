"""`thumbnet.accelerate`: anybody's network, trained by anybody's loop, through our kernels where they are faster."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from torch import nn

from thumbnet.errors import ConfigError
from thumbnet.kernels.layer import attach, detach, kernel_forward_of, reason_against
from thumbnet.kernels.library import load_kernels
from thumbnet.kernels.memory import keep_freed_memory
from thumbnet.kernels.warnings_once import warn

Model = TypeVar("Model", bound=nn.Module)


@dataclass(frozen=True)
class AcceleratedLayers:
    """The convolutions of a model by name: those that run through our kernels, and the others with the reason.

    As a text, it says so in a few lines.
    """

    taken: tuple[str, ...]
    left: Mapping[str, str]

    def __str__(self) -> str:
        count = len(self.taken) + len(self.left)
        named = f": {', '.join(map(_shown, self.taken))}" if self.taken else ""
        first = f"{len(self.taken)} of {count} convolutions run through thumbnet's kernels{named}"
        return "\n".join(
            [first, *(f"left to PyTorch: {_shown(name)} ({reason})" for name, reason in self.left.items())]
        )


def accelerate(model: Model, *, keep_memory: bool = True) -> Model:
    """Let the 3x3 convolutions of a model train through our kernels on a CPU, and return the model.

    Parameters, state_dict, hooks and class of every layer stay as they are; results are PyTorch's but for rounding.
    A layer or an input that does not suit the kernels runs through PyTorch's: `accelerated_layers` names the layers.
    `decelerate` undoes it. Where the kernels cannot be had, a RuntimeWarning says why, and the model stays as it was.

    Args:
        keep_memory: let the process keep the memory that a step frees for the next one, up to 1 GiB a buffer, for as
            long as it runs, as `fit` does too (Linux with glibc).

    Raises:
        ConfigError: `model` is no `nn.Module`.
    """
    layers = _convolutions(model)
    free = [layer for layer in layers.values() if not _is_attached(layer) and _reason_against(layer) is None]
    if not free:
        if not accelerated_layers(model).taken:
            warn(f"nothing to accelerate: {accelerated_layers(model)}")
        return model
    try:
        kernels = load_kernels()
    except ConfigError as error:
        warn(f"the model is not accelerated: {error}")
        return model
    if keep_memory:
        keep_freed_memory()
    for layer in free:
        attach(layer, kernels)
    return model


def decelerate(model: Model) -> Model:
    """Let all convolutions of a model run through PyTorch's kernels again, and return the model."""
    for layer in _convolutions(model).values():
        detach(layer)
    return model


def accelerated_layers(model: nn.Module) -> AcceleratedLayers:
    """Which convolutions of a model run through our kernels, and why the others do not."""
    layers = _convolutions(model)
    left = {name: reason for name, layer in layers.items() if (reason := _why_left(layer)) is not None}
    return AcceleratedLayers(tuple(name for name in layers if name not in left), left)


def _why_left(layer: nn.Conv2d) -> str | None:
    """Why a layer does not run through our kernels now; None if it does."""
    entry = kernel_forward_of(layer)
    if entry is not None and entry.error is not None:
        return f"the kernels could not be loaded: {entry.error.message}"
    return _reason_against(layer) or (None if entry is not None else "not accelerated")


def _is_attached(layer: nn.Conv2d) -> bool:
    """Whether a layer has kernels of its own that were not found missing."""
    entry = kernel_forward_of(layer)
    return entry is not None and entry.layer is layer and entry.error is None


def _reason_against(layer: nn.Conv2d) -> str | None:
    elsewhere = next((each.device.type for each in layer.parameters() if each.device.type != "cpu"), None)
    return reason_against(layer) or (None if elsewhere is None else f"its parameters are on {elsewhere}, not on a CPU")


def _shown(name: str) -> str:
    return name or "(the model itself)"


def _convolutions(model: object) -> dict[str, nn.Conv2d]:
    if not isinstance(model, nn.Module):
        raise ConfigError(f"model is {model!r}, not a network of PyTorch", hint="give an nn.Module")
    return {name: layer for name, layer in model.named_modules() if isinstance(layer, nn.Conv2d)}
