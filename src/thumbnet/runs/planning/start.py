"""`init = "auto"` within minutes: the plan's recipe with new weights, against trained ones of the nearest recipe."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from thumbnet.config import TrainConfig
from thumbnet.data.dataset import Dataset
from thumbnet.models.pretrained import list_pretrained
from thumbnet.recipes import load_recipe
from thumbnet.runs.choices.init import Start, choose_start, start_with
from thumbnet.runs.files.init_record import InitChoice
from thumbnet.runs.planning.apply import is_planned
from thumbnet.runs.planning.constants import INIT_TRIAL_SHARE, Rung
from thumbnet.runs.planning.measured import Measured
from thumbnet.runs.resolve import Say
from thumbnet.runs.which import check_weights_for

BOTH_TRIALS = 2 * INIT_TRIAL_SHARE  # of the steps


@dataclass(frozen=True)
class PlannedStart:
    """A recipe as it would be trained, and what it begins with."""

    rung: Rung
    made: Measured
    start: Start


def rungs_with_weights(config: TrainConfig, rungs: Sequence[Rung]) -> tuple[Rung, ...]:
    """Those of the recipes whose networks have trained weights in the package.

    Raises:
        ConfigError: the model is given, and has none.
    """
    if not is_planned(config, "model"):
        check_weights_for(config.model)
        return tuple(rungs)
    return tuple(rung for rung in rungs if model_of(rung, config) in list_pretrained())


def nearest_with_weights(config: TrainConfig, rungs: Sequence[Rung], rung: Rung) -> Rung:
    """The recipe itself if its network has trained weights, else the next cheaper one whose network has."""
    cheaper = rungs[: rungs.index(rung) + 1]
    return rungs_with_weights(config, cheaper)[-1]


def model_of(rung: Rung, config: TrainConfig) -> str:
    """The network that a recipe of the ladder trains, unless that is given."""
    return load_recipe(rung.recipe).model if is_planned(config, "model") else config.model


def planned_start(rung: Rung, made: Measured, dataset: Dataset, weights: str | None) -> PlannedStart:
    """A recipe as it was measured, which begins with these weights."""
    start = start_with(made.chosen, dataset, weights)
    resolved = start.resolved.replace(epochs=max(1, math.ceil(made.epochs)))
    return PlannedStart(rung, made, replace(start, resolved=resolved))


def choose_planned_start(new: PlannedStart, trained: PlannedStart, *, say: Say) -> tuple[PlannedStart, InitChoice]:
    """The one that wins on the validation images, and why; both are tried for the same share of their steps."""
    steps_of_new, steps_of_trained = (max(0, int(INIT_TRIAL_SHARE * each.made.steps)) for each in (new, trained))
    choice = choose_start(new.start, trained.start, steps=(steps_of_new, steps_of_trained), say=say)
    return new if choice.weights is None else trained, choice
