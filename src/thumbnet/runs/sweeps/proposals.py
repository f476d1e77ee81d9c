"""What a trial's values are, and when it is given up: Optuna's sampler and pruner, with seeds of our own."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import optuna
from optuna.distributions import BaseDistribution

from thumbnet.specs.search import Choices, Dimension, Range, Scalar

NUM_RANDOM = 10  # trials before the sampler learns from them
NUM_UNPRUNED = 5  # trials that are finished before any is pruned
UNPRUNED_SHARE = 0.25  # of the epochs, before which none is pruned


def sampler_of(seed: int, number: int) -> optuna.samplers.TPESampler:
    """The sampler of one trial: its draws depend on the sweep's seed and the trial's number alone, so that a sweep that
    was stopped goes on with the values that it would have had, and no two processes draw the same."""
    state = np.random.SeedSequence([seed, number]).generate_state(1)[0]
    return optuna.samplers.TPESampler(seed=int(state), n_startup_trials=NUM_RANDOM)


class GivenValues(optuna.samplers.BaseSampler):
    """Proposes these values, by field."""

    def __init__(self, values: Mapping[str, Scalar]) -> None:
        self.values = values

    def infer_relative_search_space(self, study: object, trial: object) -> dict[str, BaseDistribution]:
        """None: each value is proposed by itself."""
        return {}

    def sample_relative(self, study: object, trial: object, search_space: object) -> dict[str, Scalar]:
        """Likewise."""
        return {}

    def sample_independent(
        self, study: object, trial: object, param_name: str, param_distribution: BaseDistribution
    ) -> Scalar:
        """The field's value."""
        return self.values[param_name]


def pruner_of(epochs: int) -> optuna.pruners.MedianPruner:
    """Gives up a trial whose best epoch so far is below the median of the others at the same epoch."""
    return optuna.pruners.MedianPruner(n_startup_trials=NUM_UNPRUNED, n_warmup_steps=math.ceil(UNPRUNED_SHARE * epochs))


def propose(trial: optuna.Trial, dimensions: Sequence[Dimension]) -> dict[str, Scalar]:
    """The trial's values by field; of one that has some already, these and the rest."""
    return {dimension.field: _suggest(trial, dimension.field, dimension.space) for dimension in dimensions}


def _suggest(trial: optuna.Trial, name: str, space: Range | Choices) -> Scalar:
    if isinstance(space, Choices):
        label = trial.suggest_categorical(name, space.labels)
        assert label is not None
        return label
    if space.is_whole:
        step = int(space.step or 1)
        return trial.suggest_int(name, int(space.low), int(space.high), step=step, log=space.is_log)
    return trial.suggest_float(name, space.low, space.high, step=space.step, log=space.is_log)
