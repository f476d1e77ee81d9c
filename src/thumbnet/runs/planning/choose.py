"""From minutes to a plan: what the rule of ladder.py gives for this data on this machine, as it was just measured."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from thumbnet.config import AUTO_INIT, TrainConfig
from thumbnet.data.dataset import Dataset
from thumbnet.data.leaks import Leaks
from thumbnet.errors import ConfigError
from thumbnet.runs.choices.augmentation import AS_CHEAP, PolicyChoice, judge_policies, with_policy
from thumbnet.runs.choices.augmentation_probe import grows_in_probe, has_own_probe, without_open_policy
from thumbnet.runs.files.init_record import InitChoice
from thumbnet.runs.leaks import look_for_leaks
from thumbnet.runs.load_checked import check_trainable
from thumbnet.runs.planning.apply import candidate_rungs, has_open_stem, is_planned, with_model_of_init
from thumbnet.runs.planning.constants import (
    ENOUGH_EPOCHS,
    GROWTH_COST,
    LADDER,
    MIN_TOLERANCE_S,
    PROBE_SHARE,
    SETUP_S,
    TOLERANCE_SHARE,
    Rung,
)
from thumbnet.runs.planning.cost import with_costs
from thumbnet.runs.planning.facts import facts_of, look_at_folder
from thumbnet.runs.planning.ladder import Candidate, choose_rung, epochs_needed, with_finer_maps
from thumbnet.runs.planning.measured import Measured, measured
from thumbnet.runs.planning.policy import choose_affordable
from thumbnet.runs.planning.read import Read, choose_side, read_data
from thumbnet.runs.planning.reasons import reasons_of
from thumbnet.runs.planning.record import PlanRecord, StepTime
from thumbnet.runs.planning.refit import with_refit
from thumbnet.runs.planning.speed import THIS_MACHINE, Measures
from thumbnet.runs.planning.start import (
    BOTH_TRIALS,
    choose_planned_start,
    model_of,
    nearest_with_weights,
    planned_start,
    rungs_with_weights,
)
from thumbnet.runs.planning.threads import Threads, choose_threads
from thumbnet.runs.planning.times import Times
from thumbnet.runs.resolve import Say
from thumbnet.specs.data import PICTURE_SOURCES, DataSpec
from thumbnet.specs.policies import AUTO
from thumbnet.training.threads import computing_with


@dataclass(frozen=True)
class Planned:
    """A config with its steps, without minutes; the data that was read for it, leaks between its splits, the record of
    the plan, and how it chose what to begin with, if that was `auto`."""

    config: TrainConfig
    dataset: Dataset
    record: PlanRecord
    leaks: Leaks = field(default_factory=Leaks)
    init_choice: InitChoice | None = None


def plan_training(
    config: TrainConfig,
    *,
    began_s: float,
    say: Say,
    pictures: bool = True,
    dataset: Dataset | None = None,
    now: Callable[[], float] = time.perf_counter,
    measures: Measures = THIS_MACHINE,
    leaves_init_open: bool = False,
) -> Planned:
    """Choose what the config's `planned` fields leave open, and the number of steps.

    Args:
        config: with minutes.
        began_s: when the command began, by `now`.
        pictures: whether the run draws pictures and a report at its end.
        dataset: the data, if it was read before.
        measures: how fast this machine is, or one that is assumed.
        leaves_init_open: `init = "auto"` stays so, for several trainings of which each chooses for itself; the steps
            leave time for that.

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
    chooses_init = config.init == AUTO_INIT
    if chooses_init:
        with_weights = rungs_with_weights(config, rungs)
        rungs = with_weights if leaves_init_open else rungs  # each training may then take either start
        config = config.replace(init=None)
    look, reading_s = None, 0.0
    is_folder = DataSpec(config.data).name == "folder"
    if dataset is None and is_folder and is_planned(config, "image_size"):
        look = look_at_folder(config)  # a wrong folder is refused before anything is measured
    else:
        dataset, reading_s = read_data(config, dataset, say=say, now=now)
    threads = choose_threads(config.engine, measures)
    if threads.chosen is not None:
        config = config.replace(threads=threads.chosen)
    source = config.data if dataset is None else dataset.source.name  # of one that is given, `data` may be auto
    are_pictures = DataSpec(source).name in PICTURE_SOURCES
    robustness = config.report_robustness if are_pictures or config.report_robustness is True else False
    times = Times(
        began_s,
        minutes,
        threads.image_s,
        pictures,
        now,
        robustness,
        trial_share=BOTH_TRIALS if chooses_init else 0.0,
        measures_distances=config.decisions.share_unknown is not None,
        is_refit=config.refit,
        num_threads=threads.num,
    )
    with computing_with(threads.num):
        return _plan(
            config,
            Read(dataset, look, reading_s),
            rungs,
            threads,
            times,
            measures,
            say=say,
            may_grow=may_grow,
            chooses_init=chooses_init,
            leaves_init_open=leaves_init_open,
        )


def _plan(
    config: TrainConfig,
    read: Read,
    rungs: tuple[Rung, ...],
    threads: Threads,
    times: Times,
    measures: Measures,
    *,
    say: Say,
    may_grow: bool,
    chooses_init: bool,
    leaves_init_open: bool,
) -> Planned:
    """`plan_training`, once the threads are known; `may_grow`: whether growing images are left to the plan."""
    dataset, look, reading_s = read.dataset, read.look, read.seconds
    minutes, image_s, now = times.minutes, times.image_s, times.now
    not_taken = list[Candidate]()
    if look is not None:
        rungs = with_costs(config, rungs, look.facts, measures, image_s=image_s)
        side, not_taken = choose_side(look, times, rungs, may_grow=may_grow)
        config = config.replace(image_size=side)
        dataset, reading_s = read_data(config, None, say=say, now=now)
    assert dataset is not None
    leaks = look_for_leaks(dataset, say=say)
    facts = facts_of(dataset)
    if look is None and (may_grow or len(rungs) > 1):  # else their cost decides nothing
        rungs = with_costs(config, rungs, facts, measures, image_s=image_s)
    sides = dataset.image_shape[1], dataset.image_shape[2]
    budget = times.budget(facts, before_s=lambda _: 0.0)
    if has_open_stem(config) and not chooses_init:
        rungs = with_finer_maps(rungs, facts, sides)
    below = rungs
    while True:
        rung, refused = choose_rung(facts, budget, below, sides, may_grow=may_grow)
        not_taken += refused
        made = measured(config, rung, dataset, facts, budget, times, measures)
        needed = epochs_needed(rung, facts.num_train)
        if made.epochs >= ENOUGH_EPOCHS * needed or rung is rungs[0]:
            break
        against = f"measured, it would get {made.epochs:.0f} of the {needed} epochs that it needs"
        not_taken.append(Candidate(rung.recipe, sides, made.epochs, against, rung.stem))
        below = below[: below.index(rung)]
    check_trainable(without_open_policy(made.resolved), dataset, say=say)  # before anything is tried, which takes long
    init_choice, steps_left = None, int((1 - BOTH_TRIALS) * made.fitting_steps) if chooses_init else None
    if chooses_init and not leaves_init_open and made.steps >= 2:
        near = nearest_with_weights(config, rungs, rung)
        weights = model_of(near, config)
        begun = measured(config.replace(init=weights), near, dataset, facts, budget, times, measures)
        start, init_choice = choose_planned_start(
            planned_start(rung, made, dataset, None), planned_start(near, begun, dataset, weights), say=say
        )
        for remark in start.start.dataset.source.remarks[len(dataset.source.remarks) :]:
            say(remark)
        config, rung = config.replace(init=start.start.weights), start.rung
        dataset = start.start.dataset.with_remark(init_choice.reason)
        steps_left = int((1 - BOTH_TRIALS) * start.made.fitting_steps)
        known = start.made.speed
        grows = start.made.grows
        made = measured(config, rung, dataset, facts, budget, times, measures, speed=known, grows=grows)
        made = made.at_most(steps_left)
    probe_steps: int | None = None
    policy_epochs: int | None = None
    if made.steps >= 2 and made.resolved.inputs.augmentation == AUTO:
        probed = made.resolved.replace(epochs=max(1, math.ceil(made.epochs)))
        step_s = made.speed.step_s[sides] if has_own_probe(probed) else times.step_s(LADDER[0], facts, sides)
        step_s *= GROWTH_COST if grows_in_probe(sides) and not has_own_probe(probed) else 1.0
        probe_steps = max(1, int(PROBE_SHARE * made.left_s / step_s))
        data, cheap = dataset, made
        judgement = judge_policies(probed, data, say=say, most_steps=probe_steps)

        def with_it(choice: PolicyChoice) -> Measured:
            chosen = with_policy(probed, data, choice).inputs
            own = config.replace(
                augmentation=chosen.augmentation, flip=chosen.flip, alternating_flip=chosen.alternating_flip
            )
            known = cheap.speed if chosen.augmentation in AS_CHEAP else None  # it was measured with such a one
            again = measured(own, rung, data, facts, budget, times, measures, speed=known, grows=cheap.grows)
            return again.at_most(steps_left)

        made, reason, policy_epochs = choose_affordable(judgement, with_it, epochs=probed.epochs)
        say(reason)
        dataset = dataset.with_remark(reason)
    made = made.at_most(steps_left)
    left_s = times.left_s(facts, made.speed.eval_image_s, sides) - SETUP_S
    made, refit_share = with_refit(config, made, dataset, left_s=left_s)
    if made.steps < 2:
        raise times.too_short(facts, reading_s, made.speed.eval_image_s, sides)
    record = PlanRecord(
        minutes=minutes,
        facts=facts,
        recipe=rung.recipe,
        steps=made.steps,
        epochs=math.ceil(made.epochs),
        max_steps=made.max_steps,
        image_s=image_s,
        reading_s=reading_s,
        planned_s=now() - times.began_s,
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
                minutes=minutes,
                steps=made.steps,
                stem=rung.stem,
                is_size_planned=look is not None,
                without_robustness=times.goes_without_robustness(facts, made.speed.eval_image_s, sides),
                fewer_threads=threads.reason,
            )
        ),
        not_taken=tuple(not_taken),
        probe_steps=probe_steps,
        policy_epochs=policy_epochs,
        refit_share=refit_share,
    )
    for sentence in record.reasons:
        say(sentence)
    chosen = made.chosen.replace(epochs=None, steps=made.steps, score_every=made.score_every)
    if chooses_init and leaves_init_open:
        chosen = chosen.replace(init=AUTO_INIT)
    return Planned(chosen, dataset, record, leaks, init_choice)
