"""The optimizers that a recipe names: SGD, and Muon for filters with SGD for the rest.

Every group of parameters keeps its base learning rate, which the schedule multiplies.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from thumbnet.errors import ConfigError

OPTIMIZERS = ("sgd", "muon")
NUM_NEWTON_SCHULZ_STEPS = 3
# The quintic's coefficients, chosen by its authors for a steep slope at zero: it brings singular values near 1 quickly.
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
SMALL = 1e-7


def create_optimizer(
    name: str,
    model: nn.Module,
    *,
    lr: float,
    momentum: float,
    nesterov: bool = False,
    weight_decay: float = 0.0,
    vector_lr: float | None = None,
    vector_momentum: float | None = None,
    head_lr: float | None = None,
) -> torch.optim.Optimizer:
    """The optimizer called `name` over the parameters of `model` that are not frozen.

    Args:
        name: `sgd`, for all parameters alike; or `muon`, whose `lr` and `momentum` are those of the filters.
        lr, momentum: of the filters (`muon`) or of everything (`sgd`).
        nesterov, weight_decay: for `sgd` only.
        vector_lr, vector_momentum: for `muon`, of SGD with Nesterov momentum on biases, norms and depthwise filters.
        head_lr: for `muon`, of the same SGD on two-dimensional weights: the layers that give the logits.

    Raises:
        ConfigError: an unknown name, or an argument that this optimizer has no use for or lacks, or out of its range.
    """
    _check_ranges(
        rates={"lr": lr, "vector_lr": vector_lr, "head_lr": head_lr},
        momenta={"momentum": momentum, "vector_momentum": vector_momentum},
        weight_decay=weight_decay,
    )
    if nesterov and momentum == 0:
        raise ConfigError("nesterov is true but momentum is 0", hint="set momentum above 0, or nesterov to False")
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    rates = {"vector_lr": vector_lr, "vector_momentum": vector_momentum, "head_lr": head_lr}
    if name == "sgd":
        unused = [field for field, value in rates.items() if value is not None]
        if unused:
            raise ConfigError(f"{unused[0]} is given, but the optimizer is sgd", hint=f"leave {unused[0]} out")
        return torch.optim.SGD(trained, lr=lr, momentum=momentum, nesterov=nesterov, weight_decay=weight_decay)
    if name != "muon":
        raise ConfigError(f"unknown optimizer {name!r}", hint=f"choose one of {', '.join(OPTIMIZERS)}")
    missing = [field for field, value in rates.items() if value is None]
    if missing or nesterov or weight_decay:
        raise ConfigError(
            f"muon was given nesterov={nesterov}, weight_decay={weight_decay}, and lacks {missing or 'nothing'}",
            hint="give vector_lr, vector_momentum and head_lr, and neither nesterov nor weight_decay",
        )
    if not any(parameter.ndim == 2 for parameter in trained):
        raise ConfigError(
            "muon needs a model that ends in a linear layer, and this one has none",
            hint="set optimizer = 'sgd', or choose another model",
        )
    filters = [parameter for parameter in trained if _is_filter(parameter)]
    heads = [parameter for parameter in trained if parameter.ndim == 2]
    vectors = [parameter for parameter in trained if parameter.ndim != 2 and not _is_filter(parameter)]
    groups: list[dict[str, Any]] = [
        {"params": filters, "lr": lr, "momentum": momentum, "orthogonal": True},
        {"params": vectors, "lr": vector_lr, "momentum": vector_momentum, "orthogonal": False},
        {"params": heads, "lr": head_lr, "momentum": vector_momentum, "orthogonal": False},
    ]
    return Muon(group for group in groups if group["params"])


def _check_ranges(*, rates: dict[str, float | None], momenta: dict[str, float | None], weight_decay: float) -> None:
    for name, value in rates.items():
        if value is not None and not 0 < value < math.inf:
            raise ConfigError(f"{name} is {value}", hint=f"{name} must be above 0")
    for name, value in momenta.items():
        if value is not None and not 0 <= value < 1:
            raise ConfigError(f"{name} is {value}", hint=f"{name} must be at least 0 and below 1")
    if not 0 <= weight_decay < math.inf:
        raise ConfigError(f"weight_decay is {weight_decay}", hint="weight_decay must be at least 0")


class Muon(torch.optim.Optimizer):
    """Momentum whose step on a filter is orthogonalised, for convolutions that batch normalisation follows.

    Each filter [K,C,h,w], as a matrix [K,C*h*w], is first scaled to the norm sqrt(K), which the normalisation after it
    cannot see, and then moves by `lr` times the nearest orthogonal matrix to its Nesterov momentum. Groups with
    `orthogonal=False` take plain SGD steps with Nesterov momentum.

    Source: Jordan et al., "Muon: an optimizer for hidden layers in neural networks" (2024), kellerjordan.github.io/
    posts/muon; with the scaling of airbench94_muon.py, github.com/KellerJordan/cifar10-airbench (MIT).
    """

    def __init__(self, groups: Iterable[dict[str, Any]]) -> None:
        super().__init__(groups, defaults={"lr": 0.1, "momentum": 0.6, "orthogonal": True})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """One step of every parameter that has a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            parameters = [parameter for parameter in group["params"] if parameter.grad is not None]
            if not parameters:
                continue
            updates = self._nesterov(parameters, group["momentum"])
            if group["orthogonal"]:
                for parameter in parameters:
                    parameter.mul_(len(parameter) ** 0.5 / parameter.norm().clamp_min(SMALL))
                updates = [orthogonalise(update.flatten(1)).view_as(update) for update in updates]
            torch._foreach_add_(parameters, updates, alpha=-group["lr"])
        return loss

    def _nesterov(self, parameters: list[Tensor], momentum: float) -> list[Tensor]:
        for parameter in parameters:
            if "momentum_buffer" not in self.state[parameter]:
                self.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
        buffers = [self.state[parameter]["momentum_buffer"] for parameter in parameters]
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        torch._foreach_mul_(buffers, momentum)
        torch._foreach_add_(buffers, gradients)
        return list(torch._foreach_add(gradients, buffers, alpha=momentum))


def orthogonalise(matrix: Tensor) -> Tensor:
    """Towards the nearest matrix to `matrix` [K,M] whose singular values are all 1.

    Newton and Schulz's iteration, in its quintic form: matrix products only, so it is fast on any device. After its
    three steps, singular values of a tenth of the Frobenius norm or more come to 0.6 to 1.3; smaller ones stay smaller.
    Every step multiplies `matrix` by a polynomial of its Gram matrix [K,K], so the polynomials are multiplied first.
    """
    is_tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if is_tall else matrix
    x = x / (x.norm() + SMALL)
    a, b, c = NEWTON_SCHULZ
    gram = x @ x.T
    product: Tensor | None = None
    for step in range(NUM_NEWTON_SCHULZ_STEPS):
        polynomial = torch.addmm(gram, gram, gram, beta=b, alpha=c)
        polynomial.diagonal().add_(a)
        product = polynomial if product is None else polynomial @ product
        if step + 1 < NUM_NEWTON_SCHULZ_STEPS:
            gram = polynomial @ gram @ polynomial  # all of these are symmetric, and commute
    assert product is not None
    moved: Tensor = product @ x
    return moved.T if is_tall else moved


def _is_filter(parameter: Tensor) -> bool:
    """Whether these are filters over several channels; a depthwise one has nothing to make orthogonal."""
    return parameter.ndim == 4 and parameter.shape[1] > 1
