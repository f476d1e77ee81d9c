"""Whether the state of a training can be that of a model and its optimizer, and is finite."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from thumbnet.errors import CheckpointError, NonFiniteLogitsError, NonFiniteLossError
from thumbnet.models.weights import check_weights, first_not_finite

LOWER_LR = "the learning rate is the likely cause: divide lr by 3, or ask `thumbnet find-lr`"
HINT = "go on with the model, the optimizer and the data that it was started with, or start anew"


def check_finite(model: nn.Module, *, step: int) -> None:
    """NonFiniteLossError where a weight is NaN or infinite after `step`, counted from 1: the loss comes before it."""
    broken = first_not_finite(model.state_dict())
    if broken is not None:
        raise NonFiniteLossError(
            f"the weights are not finite at step {step}: {broken} holds NaN or infinity",
            hint=LOWER_LR,
        )


@contextmanager
def finite_at(step: int) -> Iterator[None]:
    """Logits that are not finite, in a scoring after `step`, as NonFiniteLossError: the rate is why."""
    try:
        yield
    except NonFiniteLogitsError as error:
        raise NonFiniteLossError(f"at step {step} {error.message}", hint=LOWER_LR) from error


def check_state_fits(
    weights: Mapping[str, Tensor],
    average: Mapping[str, Tensor] | None,
    saved: Mapping[str, object],
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
) -> None:
    """CheckpointError where a state, of weights, their average and the optimizer (`saved`, as its `state_dict` gives
    it), cannot be loaded into the model and the optimizer."""
    check_weights(model, weights, name="the state's weights", exact=True)
    if average is not None:
        check_weights(model, average, name="the state's averaged weights", exact=True)
    own = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    groups, state = saved.get("param_groups"), saved.get("state")
    if not isinstance(groups, list) or not isinstance(state, Mapping):
        raise CheckpointError("the state has no optimizer", hint=HINT)
    if [len(group["params"]) for group in groups] != [len(group["params"]) for group in optimizer.param_groups]:
        raise CheckpointError("the state is of another optimizer, or of one for another model", hint=HINT)
    for group, own_group in zip(groups, optimizer.param_groups, strict=True):
        for name in own_group.keys() & group.keys() - {"params", "lr", "initial_lr"}:
            if group[name] != own_group[name]:
                raise CheckpointError(
                    f"the state is of an optimizer whose {name} was {group[name]}, not {own_group[name]}",
                    hint="go on with the optimizer, momentum and weight decay that it was started with, or start anew",
                )
    numbers = [number for group in groups for number in group["params"]]
    if any(group.get("momentum") for group in groups) and not state:
        raise CheckpointError("the optimizer's state has no momentum", hint=HINT)
    by_number = dict(zip(numbers, own, strict=True))
    for number, values in state.items():
        buffer = values.get("momentum_buffer")
        parameter = by_number.get(number)
        if parameter is None or (buffer is not None and not _is_alike(buffer, parameter)):
            raise CheckpointError(f"the optimizer's state of parameter {number} does not fit the model", hint=HINT)


def _is_alike(buffer: object, parameter: Tensor) -> bool:
    return isinstance(buffer, Tensor) and (buffer.shape, buffer.dtype) == (parameter.shape, parameter.dtype)
