"""Optimizers as values. `thumbnet.training.optimizers` builds them, and registers a user's own."""

from __future__ import annotations

from dataclasses import dataclass

from thumbnet.errors import ConfigError
from thumbnet.specs.checks import MAX_RATE, require, require_fraction, require_rate
from thumbnet.specs.registry import Registry


@dataclass(frozen=True, kw_only=True)
class Optimizer:
    """What every optimizer has: `lr`, the base learning rate, which the schedule multiplies step by step.

    The fields of a subclass, a frozen dataclass, are what a recipe may say of it: numbers, truth values and texts.
    """

    lr: float

    def __post_init__(self) -> None:
        require_rate("lr", self.lr)


@dataclass(frozen=True, kw_only=True)
class SGD(Optimizer):
    """Stochastic gradient descent on all parameters alike."""

    momentum: float = 0.9
    nesterov: bool = False
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        require_fraction("momentum", self.momentum)
        decay = self.weight_decay
        require(0 <= decay <= MAX_RATE, "weight_decay", decay, f"at least 0 and at most {MAX_RATE:g}")
        if self.nesterov and self.momentum == 0:
            raise ConfigError("nesterov is true but momentum is 0", hint="set momentum above 0, or nesterov = false")


@dataclass(frozen=True, kw_only=True)
class Muon(Optimizer):
    """Orthogonalised momentum on filters; SGD with Nesterov momentum on the rest.

    `lr` and `momentum` are for filters over several channels; `bias_lr` and `bias_momentum` for biases, norms and
    depthwise filters; `head_lr`, with `bias_momentum`, for two-dimensional weights: the layers that give the logits.
    """

    momentum: float = 0.9
    bias_lr: float
    bias_momentum: float
    head_lr: float

    def __post_init__(self) -> None:
        super().__post_init__()
        require_fraction("momentum", self.momentum)
        require_rate("bias_lr", self.bias_lr)
        require_fraction("bias_momentum", self.bias_momentum)
        require_rate("head_lr", self.head_lr)


@dataclass(frozen=True, kw_only=True)
class AdamW(Optimizer):
    """Adam with decoupled weight decay (Loshchilov and Hutter, 2019), which biases and norms are left out of."""

    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    weight_decay: float = 0.01

    def __post_init__(self) -> None:
        super().__post_init__()
        require_fraction("beta1", self.beta1)
        require_fraction("beta2", self.beta2)
        require_rate("eps", self.eps)
        decay = self.weight_decay
        require(0 <= decay <= MAX_RATE, "weight_decay", decay, f"at least 0 and at most {MAX_RATE:g}")


OPTIMIZERS: Registry[type[Optimizer]] = Registry(
    "optimizer", "thumbnet.optimizers", {"sgd": SGD, "muon": Muon, "adamw": AdamW}
)
