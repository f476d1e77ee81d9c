"""Optimizers built from their values: SGD, AdamW, Muon for filters with SGD for the rest, and a user's own.

Every group of parameters keeps its base learning rate, which the schedule multiplies.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from inspect import unwrap
from typing import Protocol, TypeAlias, runtime_checkable

import torch
from torch import Tensor, nn

from thumbnet.errors import ConfigError
from thumbnet.kernels.library import Kernels
from thumbnet.kernels.muon import can_step, muon_step, supports_filter
from thumbnet.models.whitening import Whitening
from thumbnet.specs.optimizers import OPTIMIZERS, SGD, AdamW, Muon, Optimizer

NUM_NEWTON_SCHULZ_STEPS = 3
# The quintic's coefficients, chosen by its authors for a steep slope at zero: it brings singular values near 1 quickly.
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
SMALL = 1e-7

Group: TypeAlias = dict[str, list[nn.Parameter] | float | bool]


@runtime_checkable
class BuildsOptimizer(Protocol):
    """An optimizer's value that makes the optimizer itself, over the parameters that are not frozen."""

    def build(self, model: nn.Module) -> torch.optim.Optimizer: ...


def register_optimizer(name: str, kind: type[Optimizer], *, replace: bool = False) -> None:
    """Let recipes say `optimizer = "<name>"`, with the fields of `kind` beside it.

    Args:
        name: lower-case letters, digits, `-`, `_` and `.`.
        kind: a frozen dataclass, a subclass of `thumbnet.Optimizer`, with `build(self, model)`, which returns a
            `torch.optim.Optimizer` over the parameters of the model that are not frozen.
        replace: take the place of one that was registered before.

    Raises:
        ConfigError: the name is no such word or is taken; the class is not as described.
    """
    if "__dataclass_fields__" not in vars(kind) or not issubclass(kind, Optimizer):
        raise ConfigError(
            f"{kind.__name__} is no dataclass that extends thumbnet.Optimizer",
            hint="write @dataclass(frozen=True, kw_only=True) above it",
        )
    _check_builds(kind)
    OPTIMIZERS.register(name, kind, replace=replace)


def build_optimizer(
    value: Optimizer | torch.optim.Optimizer, model: nn.Module, kernels: Kernels | None = None
) -> torch.optim.Optimizer:
    """The optimizer over the parameters of `model` that are not frozen.

    Args:
        value: `SGD(...)`, `AdamW(...)`, `Muon(...)` or a registered class's; or one of `torch.optim` over the model's
            parameters.
        model: whose parameters it is to move.
        kernels: ours, by which Muon moves the filters that they support; None: PyTorch moves all.

    Raises:
        ConfigError: Muon for a model without a linear layer; a class of the user's that has no `build`; an optimizer of
            PyTorch's over parameters of another model.
    """
    if isinstance(value, torch.optim.Optimizer):
        _check_moves(value, model)
        return value
    if isinstance(value, BuildsOptimizer):
        return value.build(model)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if isinstance(value, SGD):
        return torch.optim.SGD(
            trained, lr=value.lr, momentum=value.momentum, nesterov=value.nesterov, weight_decay=value.weight_decay
        )
    if isinstance(value, AdamW):
        decaying = [parameter for parameter in trained if parameter.ndim >= 2]
        others = [parameter for parameter in trained if parameter.ndim < 2]
        groups = [{"params": decaying, "weight_decay": value.weight_decay}, {"params": others, "weight_decay": 0.0}]
        return torch.optim.AdamW(
            [group for group in groups if group["params"]],
            lr=value.lr,
            betas=(value.beta1, value.beta2),
            eps=value.eps,
        )
    if isinstance(value, Muon):
        stems = {id(each.weight) for each in model.modules() if isinstance(each, Whitening)}
        return _build_muon(value, trained, kernels, stems=stems)
    _check_builds(type(value))
    raise AssertionError("unreachable: it builds")


def _check_moves(optimizer: torch.optim.Optimizer, model: nn.Module) -> None:
    own = {id(parameter) for parameter in model.parameters()}
    num_others = sum(id(parameter) not in own for group in optimizer.param_groups for parameter in group["params"])
    if num_others:
        raise ConfigError(
            f"{num_others} parameters of the {type(optimizer).__name__} are not those of the model",
            hint="make the optimizer of model.parameters() of the very model that is trained",
        )


def _build_muon(
    value: Muon, trained: list[nn.Parameter], kernels: Kernels | None = None, *, stems: Collection[int] = ()
) -> MuonOptimizer:
    """`stems`: the ids of weights that are filters also where they see one channel, as those for grey pictures do."""
    if not any(parameter.ndim == 2 for parameter in trained):
        raise ConfigError(
            "muon needs a model that ends in a linear layer, and this one has none",
            hint="set optimizer = 'sgd', or choose another model",
        )
    filters = [parameter for parameter in trained if _is_filter(parameter) or id(parameter) in stems]
    heads = [parameter for parameter in trained if parameter.ndim == 2]
    taken = set(map(id, [*filters, *heads]))
    biases = [parameter for parameter in trained if id(parameter) not in taken]
    groups: list[Group] = [
        {"params": filters, "lr": value.lr, "momentum": value.momentum, "orthogonal": True},
        {"params": biases, "lr": value.bias_lr, "momentum": value.bias_momentum, "orthogonal": False},
        {"params": heads, "lr": value.head_lr, "momentum": value.bias_momentum, "orthogonal": False},
    ]
    return MuonOptimizer((group for group in groups if group["params"]), kernels=kernels)


def _check_builds(kind: type[Optimizer]) -> None:
    if kind not in (SGD, AdamW, Muon) and not callable(getattr(kind, "build", None)):
        raise ConfigError(
            f"{kind.__name__} does not say how it is built",
            hint="give it a method build(self, model) that returns a torch.optim.Optimizer",
        )


class MuonOptimizer(torch.optim.Optimizer):
    """Momentum whose step on a filter is orthogonalised, for convolutions that batch normalisation follows.

    Each filter [K,C,h,w], as a matrix [K,C*h*w], is first scaled to the norm sqrt(K), which the normalisation after it
    cannot see, and then moves by `lr` times the nearest orthogonal matrix to its Nesterov momentum. Groups with
    `orthogonal=False` take plain SGD steps with Nesterov momentum. With `kernels`, these move the filters that they
    support, with the same result up to rounding; the state is the same, and a copy of the optimizer has none.

    Neither building nor calling it imports PyTorch's compiler, which would take a second or two.

    Source: Jordan et al., "Muon: an optimizer for hidden layers in neural networks" (2024), kellerjordan.github.io/
    posts/muon; with the scaling of airbench94_muon.py, github.com/KellerJordan/cifar10-airbench (MIT).
    """

    kernels: Kernels | None = None
    add_param_group = unwrap(torch.optim.Optimizer.add_param_group)
    zero_grad = unwrap(torch.optim.Optimizer.zero_grad)
    state_dict = unwrap(torch.optim.Optimizer.state_dict)
    load_state_dict = unwrap(torch.optim.Optimizer.load_state_dict)

    def __init__(self, groups: Iterable[Group], *, kernels: Kernels | None = None) -> None:
        super().__init__(groups, defaults={"lr": 0.1, "momentum": 0.6, "orthogonal": True})
        self.kernels = kernels

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """One step of every parameter that has a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            parameters = [parameter for parameter in group["params"] if parameter.grad is not None]
            if group["orthogonal"] and self.kernels is not None:
                parameters = self._left_by_kernels(parameters, group["lr"], group["momentum"], self.kernels)
            if not parameters:
                continue
            updates = self._nesterov(parameters, group["momentum"])
            if group["orthogonal"]:
                for parameter in parameters:
                    parameter.mul_(len(parameter) ** 0.5 / parameter.norm().clamp_min(SMALL))
                updates = [orthogonalise(update.flatten(1)).view_as(update) for update in updates]
            torch._foreach_add_(parameters, updates, alpha=-group["lr"])
        return loss

    def _left_by_kernels(self, parameters: list[Tensor], lr: float, momentum: float, kernels: Kernels) -> list[Tensor]:
        """Move the filters that our kernels support; the others."""
        for parameter in parameters:
            buffer = self.state[parameter].get("momentum_buffer")
            if buffer is not None and buffer.stride() != parameter.stride():  # of a state from another device
                self.state[parameter]["momentum_buffer"] = torch.empty_like(parameter).copy_(buffer)
        values = zip(parameters, self._gradients(parameters), self._buffers(parameters), strict=True)
        taken = [each for each in values if supports_filter(*each)]
        if not taken:
            return parameters
        weights, gradients, buffers = zip(*taken, strict=True)
        if not can_step(weights, gradients, buffers):
            return parameters
        muon_step(kernels, weights, gradients, buffers, lr=lr, momentum=momentum)
        moved = set(map(id, weights))
        return [parameter for parameter in parameters if id(parameter) not in moved]

    def _gradients(self, parameters: list[Tensor]) -> list[Tensor]:
        return [parameter.grad for parameter in parameters if parameter.grad is not None]

    def _buffers(self, parameters: list[Tensor]) -> list[Tensor]:
        for parameter in parameters:
            if "momentum_buffer" not in self.state[parameter]:
                self.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
        return [self.state[parameter]["momentum_buffer"] for parameter in parameters]

    def _nesterov(self, parameters: list[Tensor], momentum: float) -> list[Tensor]:
        buffers, gradients = self._buffers(parameters), self._gradients(parameters)
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
