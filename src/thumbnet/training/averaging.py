"""Weight averaging: an exponential moving average of a model's weights, which generalises better than the last ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from thumbnet.errors import ConfigError


class WeightAverage:
    """The average of a model's state, parameters and running statistics alike, over its steps.

    Step n (from 0) gives the average so far the share min(`decay`, (1 + n) / (10 + n)), so that the random weights of
    the beginning are soon forgotten. Counters, as BatchNorm has one, are copied.

    Source: Polyak and Juditsky, "Acceleration of stochastic approximation by averaging" (1992); the growing share is
    that of TensorFlow's ExponentialMovingAverage.

    Raises:
        ConfigError: `decay` is not between 0 and 1.
    """

    def __init__(self, model: nn.Module, *, decay: float) -> None:
        if not 0 < decay < 1:
            raise ConfigError(f"average_decay is {decay}", hint="give a share between 0 and 1, as 0.999")
        self.model = model
        self.decay = decay
        self.averaged = {name: tensor.clone() for name, tensor in model.state_dict().items()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the model's state after `step`, counted from 0 over the whole training."""
        share = min(self.decay, (1 + step) / (10 + step))
        for name, tensor in self.model.state_dict().items():
            if tensor.is_floating_point():
                self.averaged[name].lerp_(tensor, 1 - share)
            else:
                self.averaged[name].copy_(tensor)

    def load(self, averaged: Mapping[str, Tensor]) -> None:
        """Go on from an average that was kept."""
        for name, tensor in averaged.items():
            self.averaged[name].copy_(tensor)

    @contextmanager
    def applied(self) -> Iterator[nn.Module]:
        """The model with the averaged state; its own comes back afterwards."""
        own = {name: tensor.clone() for name, tensor in self.model.state_dict().items()}
        self.model.load_state_dict(self.averaged)
        try:
            yield self.model
        finally:
            self.model.load_state_dict(own)
