"""All of a network but its head: trained more slowly than the head, or not at all."""

from __future__ import annotations

import dataclasses

import torch
from torch import nn

from thumbnet.errors import ConfigError
from thumbnet.models.weights import HEAD_PREFIX
from thumbnet.specs.engine import Engine


def check_body(model: nn.Module, lr_factor: float) -> None:
    """ConfigError where the body has a factor of its own, and the model no layer called `head` to tell it from."""
    if lr_factor != 1 and not any(name.startswith(HEAD_PREFIX) for name, _ in model.named_parameters()):
        raise ConfigError(
            f"body_lr_factor is {lr_factor:g}, but this model has no layer called head",
            hint="call the layer that gives the logits `head`, or leave body_lr_factor out",
        )


def engine_for_body(engine: Engine, lr_factor: float) -> Engine:
    """The engine that can train it: where something is differentiated, our kernels have no norm in evaluation, as
    those of a frozen body are.

    Raises:
        ConfigError: our kernels are asked for, and the body is frozen.
    """
    if lr_factor > 0:
        return engine
    if engine.kernels == "native":
        raise ConfigError(
            "kernels is 'native' and body_lr_factor is 0, but our kernels train no frozen body",
            hint="set kernels = 'pytorch', or body_lr_factor above 0",
        )
    return dataclasses.replace(engine, kernels="pytorch")


class Body:
    """The parts of a model whose names do not begin with HEAD_PREFIX; with a factor of 1, nothing is done."""

    def __init__(self, model: nn.Module, lr_factor: float) -> None:
        self._factor = lr_factor
        self._parameters = [value for name, value in model.named_parameters() if not name.startswith(HEAD_PREFIX)]
        self._modules = [
            module for name, module in model.named_modules() if name and not f"{name}.".startswith(HEAD_PREFIX)
        ]
        self._trained = [value for value in self._parameters if value.requires_grad]

    def freeze(self) -> None:
        """With a factor of 0, give its parameters no gradients."""
        if self._factor == 0:
            for parameter in self._trained:
                parameter.requires_grad_(False)

    def thaw(self) -> None:
        """Undo `freeze`."""
        if self._factor == 0:
            for parameter in self._trained:
                parameter.requires_grad_(True)

    def stay_in_evaluation(self) -> None:
        """With a factor of 0, have its normalisation use, and keep, the statistics that it has."""
        if self._factor == 0:
            for module in self._modules:
                module.training = False

    def slow_down(self, optimizer: torch.optim.Optimizer) -> None:
        """Divide the optimizer's groups into those of the head and, with their rates times the factor, of the body."""
        if self._factor in (0, 1):
            return
        own = {id(parameter) for parameter in self._parameters}
        groups = []
        for group in optimizer.param_groups:
            for is_body in (False, True):
                chosen = [parameter for parameter in group["params"] if (id(parameter) in own) == is_body]
                factor = self._factor if is_body else 1.0
                if chosen:
                    groups.append({**group, "params": chosen, "lr": group["lr"] * factor})
        optimizer.param_groups = groups
