"""From minutes to a plan: what the rule of ladder.py gives for this data on this machine, as it was just measured."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from thumbnet.config import TrainConfig
from thumbnet.data.batches import num_batches
from thumbnet.data.dataset import Dataset
from thumbnet.data.leaks import Leaks
from thumbnet.data.memory import memory_limit_bytes
from thumbnet.errors import ConfigError
from thumbnet.runs.augmentation_choice import PROBE_POLICY, with_chosen_policy
from thumbnet.runs.leaks import look_for_leaks
from thumbnet.runs.parts import check_sizes
from thumbnet.runs.planning.apply import candidate_rungs, is_planned, with_model_of_init, with_rung
from thumbnet.runs.planning.constants import (
    CHECKPOINT_S,
    ENOUGH_EPOCHS,
    EVALUATION_SHARE,
    MAX_EPOCHS,
    MEASURED_S,
    MIN_SCORINGS,
    MIN_TOLERANCE_S,
    PROBE_SHARE,
    REFERENCE_S,
    SCORING_SHARE,
    SETUP_S,
    TOLERANCE_SHARE,
    Rung,
)
from thumbnet.runs.planning.facts import Look, facts_of, look_at_folder
from thumbnet.runs.planning.ladder import (
    Budget,
    Candidate,
    DataFacts,
    can_grow,
    choose_rung,
    choose_size,
    epochs_in,
    sizes_of,
)
from thumbnet.runs.planning.reasons import reasons_of
from thumbnet.runs.planning.record import PlanRecord, StepTime
from thumbnet.runs.planning.speed import THIS_MACHINE, Measures, Speed
from thumbnet.runs.planning.times import Times
from thumbnet.runs.resolve import Say, load_data, resolve_config
from thumbnet.specs.data import DataSpec
from thumbnet.specs.policies import AUTO

SHARES_OF = 1000  # steps, which a training's sizes are counted over


@dataclass(frozen=True)
class Planned:
    """A config with its steps, without minutes; the data that was read for it, leaks between its splits, and the record
    of the plan."""

    config: TrainConfig
    dataset: Dataset
    record: PlanRecord
    leaks: Leaks = field(default_factory=Leaks)


@dataclass(frozen=True)
class _Made:
    """A recipe in the config, unresolved (`chosen`) and resolved, and its speed: the steps and epochs that fit into the
    `left_s` seconds, at most `max_steps`; epochs from one scoring to the next, and the seconds of one."""

    chosen: TrainConfig
    resolved: TrainConfig
    speed: Speed
    steps: int
    epochs: float
    max_steps: int
    score_every: int
    scoring_s: float
    left_s: float


def plan_training(
    config: TrainConfig,
    *,
    began_s: float,
    say: Say,
    pictures: bool = True,
    dataset: Dataset | None = None,
    now: Callable[[], float] = time.perf_counter,
    measures: Measures = THIS_MACHINE,
) -> Planned:
    """Choose what the config's `planned` fields leave open, and the number of steps.

    Args:
        config: with minutes.
        began_s: when the command began, by `now`.
        pictures: whether the run draws pictures and a report at its end.
        dataset: the data, if it was read before.
        measures: how fast this machine is, or one that is assumed.

    Raises:
        ConfigError: the minutes are over before the first steps, or a teacher is given, whose time is not reckoned.
        ThumbnetError: as `train`.
    """
    minutes = config.minutes
    assert minutes is not None
    if config.objective.teacher is not None:
        raise ConfigError("minutes is given with a teacher, whose own time is not reckoned", hint="give epochs instead")
    config = with_model_of_init(config)
    rungs, may_grow = candidate_rungs(config), is_planned(config, "scales")
    look, not_taken, reading_s = None, list[Candidate](), 0.0
    is_folder = DataSpec(config.data).name == "folder"
    if dataset is None and is_folder and is_planned(config, "image_size"):
        look = look_at_folder(config)  # a wrong folder is refused before anything is measured
    else:
        dataset, reading_s = _read(config, dataset, say=say, now=now)
    image_s = measures.reference_image_s(config.engine, seconds=REFERENCE_S)
    robustness = config.report_robustness if is_folder or config.report_robustness is True else False
    times = Times(began_s, minutes, image_s, pictures, now, robustness)
    if look is not None:
        side, not_taken = _size(look, times, rungs, may_grow=may_grow)
        config = config.replace(image_size=side)
        dataset, reading_s = _read(config, None, say=say, now=now)
    assert dataset is not None
    leaks = look_for_leaks(dataset, say=say)
    facts = facts_of(dataset, sides=None if look is None else look.facts.sides)
    sides = dataset.image_shape[1], dataset.image_shape[2]
    budget = times.budget(facts, before_s=0.0)
    rung, refused = choose_rung(facts, budget, rungs, sides, may_grow=may_grow)
    not_taken += refused
    while True:
        made = _made(config, rung, dataset, facts, budget, times, measures)
        if made.epochs >= ENOUGH_EPOCHS * rung.min_epochs or rung is rungs[0]:
            break
        against = f"measured, it would get {made.epochs:.0f} of the {rung.min_epochs} epochs that it needs"
        not_taken.append(Candidate(rung.recipe, sides, made.epochs, against))
        rung = rungs[rungs.index(rung) - 1]
    if made.steps >= 2 and made.resolved.inputs.augmentation == AUTO:
        full_step_s = made.speed.step_s[sides]
        most_steps = int(PROBE_SHARE * made.left_s / full_step_s)
        probed = made.resolved.replace(epochs=max(1, math.ceil(made.epochs)))
        probed, dataset = with_chosen_policy(probed, dataset, say=say, most_steps=most_steps)
        config = config.replace(augmentation=probed.inputs.augmentation, flip=probed.inputs.flip)
        made = _made(config, rung, dataset, facts, budget, times, measures)
    if made.steps < 2:
        raise times.too_short(facts, reading_s, made.speed.eval_image_s, sides)
    record = PlanRecord(
        minutes=times.minutes,
        facts=facts,
        recipe=rung.recipe,
        steps=made.steps,
        epochs=math.ceil(made.epochs),
        max_steps=made.max_steps,
        image_s=image_s,
        reading_s=reading_s,
        planned_s=now() - began_s,
        reserve_s=times.end_s(facts, made.speed.eval_image_s, sides),
        scoring_s=made.scoring_s,
        tolerance_s=max(MIN_TOLERANCE_S, TOLERANCE_SHARE * 60 * times.minutes),
        step_s=tuple(StepTime(*size, seconds) for size, seconds in made.speed.step_s.items()),
        reasons=tuple(
            reasons_of(
                made.resolved,
                facts,
                not_taken,
                sides=sides,
                minutes=times.minutes,
                steps=made.steps,
                without_robustness=times.goes_without_robustness(facts, made.speed.eval_image_s, sides),
            )
        ),
        not_taken=tuple(not_taken),
    )
    for sentence in record.reasons:
        say(sentence)
    chosen = made.chosen.replace(epochs=None, steps=made.steps, score_every=made.score_every)
    return Planned(chosen, dataset, record, leaks)


def _read(config: TrainConfig, dataset: Dataset | None, *, say: Say, now: Callable[[], float]) -> tuple[Dataset, float]:
    """The data, as the config asks for it, and how long reading it took."""
    begin_s = now()
    unplanned = config.replace(minutes=None, planned=None, epochs=1)
    dataset, _ = load_data(unplanned, say=say, dataset=dataset, advises=not is_planned(config, "image_size"))
    return dataset, now() - begin_s


def _made(
    config: TrainConfig,
    rung: Rung,
    dataset: Dataset,
    facts: DataFacts,
    budget: Budget,
    times: Times,
    measures: Measures,
) -> _Made:
    """A recipe in the config, with its measured speed, and as many steps as fit into the time that is left then."""
    sides = dataset.image_shape[1], dataset.image_shape[2]
    epochs = epochs_in(budget, facts, rung, sides, may_grow=is_planned(config, "scales"))
    chosen = with_rung(config, rung, facts, grows=can_grow(rung, sides, epochs))
    resolved = resolve_config(chosen, dataset)
    check_sizes(resolved, dataset)
    is_open = resolved.inputs.augmentation == AUTO  # it is chosen by the number of epochs that this gives
    measured = resolved.replace(augmentation=PROBE_POLICY) if is_open else resolved
    speed = measures.speed(measured, dataset, seconds=MEASURED_S)
    if times.goes_without_robustness(facts, speed.eval_image_s, sides):
        chosen, resolved = (each.replace(report_robustness=False) for each in (chosen, resolved))
    left_s = times.left_s(facts, speed.eval_image_s, sides) - SETUP_S
    steps_per_epoch = num_batches(facts.num_train, resolved.batch_size)
    step_s = _mean_step_s(resolved, dataset, speed)
    scoring_s = speed.eval_image_s * facts.num_val + CHECKPOINT_S
    score_every = resolved.score_every
    if is_planned(config, "score_every"):
        score_every = math.ceil(scoring_s / (SCORING_SHARE * steps_per_epoch * step_s))
        score_every = max(1, min(score_every, int(left_s / (steps_per_epoch * step_s) / MIN_SCORINGS)))
    steps = int((left_s - scoring_s) / (step_s + scoring_s / (steps_per_epoch * score_every)))
    max_steps = MAX_EPOCHS * steps_per_epoch
    return _Made(
        chosen,
        resolved,
        speed,
        min(steps, max_steps),
        min(steps, max_steps) / steps_per_epoch,
        max_steps,
        score_every,
        scoring_s,
        left_s,
    )


def _mean_step_s(config: TrainConfig, dataset: Dataset, speed: Speed) -> float:
    """Over a whole training, whose images may grow."""
    full = dataset.image_shape[1], dataset.image_shape[2]
    counted = config.inputs.resizing.sides_between(full, 0, SHARES_OF, num_steps=SHARES_OF)
    return sum(count * speed.step_s[sides] for sides, count in counted) / SHARES_OF


def _size(look: Look, times: Times, rungs: tuple[Rung, ...], *, may_grow: bool) -> tuple[int, list[Candidate]]:
    """The side that the pictures of a folder are resized to, and what is against the larger ones."""
    budget = times.budget(look.facts, before_s=look.reading_s)
    sizes = sizes_of(look.facts, times.minutes, memory_limit_bytes())
    if budget.left_s((sizes[0], sizes[0])) <= 0:
        raise times.too_short(look.facts, look.reading_s, EVALUATION_SHARE * times.image_s, (sizes[0], sizes[0]))
    return choose_size(look.facts, budget, rungs, sizes, may_grow=may_grow)
