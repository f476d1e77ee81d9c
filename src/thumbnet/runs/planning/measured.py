"""A recipe of the ladder as it would be trained: its measured speed, and the steps that fit into the time."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from thumbnet.config import TrainConfig
from thumbnet.data.batches import num_batches
from thumbnet.data.dataset import Dataset
from thumbnet.runs.choices.augmentation_probe import without_open_policy
from thumbnet.runs.parts import check_sizes
from thumbnet.runs.planning.apply import is_planned, with_rung
from thumbnet.runs.planning.constants import (
    CHECKPOINT_S,
    ENOUGH_EPOCHS,
    MEASURED_S,
    MIN_SCORINGS,
    SCORING_SHARE,
    SETUP_S,
    Rung,
)
from thumbnet.runs.planning.ladder import Budget, DataFacts, can_grow, full_from, grows_in, most_steps
from thumbnet.runs.planning.speed import Measures, Speed
from thumbnet.runs.planning.times import Times
from thumbnet.runs.resolve import resolve_config

SHARES_OF = 1000  # steps, which a training's sizes are counted over


@dataclass(frozen=True)
class Measured:
    """A recipe in the config, unresolved (`chosen`) and resolved, and its speed: the steps and epochs that fit into the
    `left_s` seconds, `fitting_steps` but at most `max_steps`; epochs from one scoring to the next, and the seconds of
    one. `grows`: whether its images begin small, if that is left to the plan."""

    chosen: TrainConfig
    resolved: TrainConfig
    speed: Speed
    steps: int
    epochs: float
    max_steps: int
    score_every: int
    scoring_s: float
    left_s: float
    fitting_steps: int
    grows: bool

    def at_most(self, steps: int | None) -> Measured:
        """The same with no more steps than these; None: with as many as fit."""
        if steps is None or steps >= self.steps:
            return self
        return replace(self, steps=steps, epochs=self.epochs * steps / self.steps)


def measured(
    config: TrainConfig,
    rung: Rung,
    dataset: Dataset,
    facts: DataFacts,
    budget: Budget,
    times: Times,
    measures: Measures,
    *,
    speed: Speed | None = None,
    grows: bool | None = None,
) -> Measured:
    """A recipe in the config, with its speed, which is measured unless it is given, and as many steps as fit into the
    time that is left then.

    Args:
        grows: whether its images begin small, if that is left to the plan, as it was decided before, by which the speed
            was measured; None: it is decided here, and again if the speed leaves far fewer epochs than were reckoned.
    """
    sides = dataset.image_shape[1], dataset.image_shape[2]
    is_decided, may_grow = grows is not None, is_planned(config, "scales")
    if grows is None:
        grows = may_grow and grows_in(budget, facts, rung, sides)
    chosen = with_rung(config, rung, facts, grows=grows)
    resolved = resolve_config(chosen, dataset)
    check_sizes(resolved, dataset)
    trained = without_open_policy(resolved)  # it is chosen by the number of epochs that this gives
    speed = measures.speed(trained, dataset, seconds=MEASURED_S) if speed is None else speed
    if times.goes_without_robustness(facts, speed.eval_image_s, sides):
        chosen, resolved = (each.replace(report_robustness=False) for each in (chosen, resolved))
    left_s = times.left_s(facts, speed.eval_image_s, sides) - SETUP_S
    steps_per_epoch = num_batches(facts.num_train, resolved.batch_size)
    if may_grow and not (is_decided or grows):
        full_epochs = left_s / (steps_per_epoch * speed.step_s[sides])
        has_few = full_epochs < ENOUGH_EPOCHS * full_from(rung, facts)
        if has_few and can_grow(rung, facts, sides, full_epochs):
            return measured(config, rung, dataset, facts, budget, times, measures, grows=True)
    step_s = _mean_step_s(resolved, dataset, speed)
    num_scored = facts.num_val + (facts.num_test if resolved.score_test == "each-epoch" else 0)
    scoring_s = speed.eval_image_s * num_scored + CHECKPOINT_S
    score_every = resolved.score_every
    if is_planned(config, "score_every"):
        score_every = math.ceil(scoring_s / (SCORING_SHARE * steps_per_epoch * step_s))
        score_every = max(1, min(score_every, int(left_s / (steps_per_epoch * step_s) / MIN_SCORINGS)))
    steps = int((left_s - scoring_s) / (step_s + scoring_s / (steps_per_epoch * score_every)))
    max_steps = most_steps(steps_per_epoch)
    return Measured(
        chosen,
        resolved,
        speed,
        min(steps, max_steps),
        min(steps, max_steps) / steps_per_epoch,
        max_steps,
        score_every,
        scoring_s,
        left_s,
        steps,
        grows,
    )


def _mean_step_s(config: TrainConfig, dataset: Dataset, speed: Speed) -> float:
    """Over a whole training, whose images may grow."""
    full = dataset.image_shape[1], dataset.image_shape[2]
    counted = config.inputs.resizing.sides_between(full, 0, SHARES_OF, num_steps=SHARES_OF)
    return sum(count * speed.step_s[sides] for sides, count in counted) / SHARES_OF
