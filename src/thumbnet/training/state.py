"""The state between two epochs of a training: all that is needed to go on from it."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from thumbnet.errors import CheckpointError
from thumbnet.models.weights import check_weights
from thumbnet.specs.pace import Pace
from thumbnet.specs.stopping import StoppedBy
from thumbnet.training.averaging import WeightAverage
from thumbnet.training.history import History
from thumbnet.training.randomness import RANDOM_SCHEMES
from thumbnet.training.state_checks import check_state_fits


@dataclass(frozen=True)
class TrainingState:
    """All that is needed to go on after an epoch: tensors, numbers and texts only.

    `average` is that of the weights; `random_scheme` says how shuffling and augmentation are drawn from the seed and
    the epoch (docs/decisions/0003-randomness.md). `pace` is the one to go on with, None where the number of epochs says
    how many steps there are. `best` are the weights of the epoch that was best on validation, where they are to be
    kept; `stopped_by` says why the training is not to go on before its end.
    """

    epoch: int
    model: Mapping[str, Tensor]
    optimizer: Mapping[str, object]
    history: History
    average: Mapping[str, Tensor] | None = None
    random_scheme: int = 1
    pace: Pace | None = None
    best: Mapping[str, Tensor] | None = None
    stopped_by: StoppedBy | None = None


def state_after(
    epoch: int,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    history: History,
    average: WeightAverage | None,
    random_scheme: int,
    pace: Pace | None = None,
    best: Mapping[str, Tensor] | None = None,
) -> TrainingState:
    """A copy of the state as it is now, which the next epoch does not change."""
    changing = model.state_dict(), optimizer.state_dict(), None if average is None else average.averaged, best
    weights, optimizer_state, averaged, best = copy.deepcopy(changing)
    return TrainingState(epoch, weights, optimizer_state, history, averaged, random_scheme, pace, best)


def check_state(state: TrainingState, *, epochs: int | None, average_decay: float, keeps_best: bool = False) -> None:
    """CheckpointError where the state is of a training with other arguments."""
    if state.pace is not None and epochs is not None:
        raise CheckpointError(
            f"epochs is {epochs}, but the state is of a training of {state.pace.num_steps} steps",
            hint="give its pace instead of epochs",
        )
    if epochs is not None and state.epoch > epochs:
        raise CheckpointError(
            f"epochs is {epochs}, but the state is that after epoch {state.epoch}",
            hint=f"give epochs={state.epoch} or more",
        )
    if state.random_scheme not in RANDOM_SCHEMES:
        raise CheckpointError(
            f"the state draws random numbers by scheme {state.random_scheme}, which this version does not know",
            hint="update thumbnet",
        )
    if (average_decay > 0) != (state.average is not None):
        has = "no average" if state.average is None else "one"
        raise CheckpointError(
            f"average_decay is {average_decay}, but the state after epoch {state.epoch} has {has}",
            hint="go on with the average_decay that it was started with, or start anew",
        )
    if keeps_best and state.best is None:
        raise CheckpointError(
            f"keep_weights is 'best', but the state after epoch {state.epoch} has no best weights",
            hint="go on with the keep_weights that it was started with, or start anew",
        )


def load_state(state: TrainingState, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Put the state in the model and the optimizer; CheckpointError where it is of others."""
    check_state_fits(state.model, state.average, state.optimizer, model, optimizer)
    if state.best is not None:
        check_weights(model, state.best, name="the state's best weights", exact=True)
    model.load_state_dict(state.model)
    optimizer.load_state_dict(copy.deepcopy(dict(state.optimizer)))
