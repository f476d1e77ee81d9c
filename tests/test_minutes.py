"""Minutes: what the command line makes of them, what a plan leaves open, what a run records, and that it repeats."""

from __future__ import annotations

import dataclasses
import html
import io
import itertools
import json
import time
from collections.abc import Callable, Mapping
from contextlib import redirect_stderr, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from fake_time import FakeTime
from small_runs import small_config, write_small_data
from thumbnet.cli import build_parser, main, training_verbs
from thumbnet.config import Option, TrainConfig, config_from_toml, config_to_toml
from thumbnet.data.dataset import Dataset
from thumbnet.data.random_images import random_dataset
from thumbnet.data.source_registry import source_name
from thumbnet.data.sources import load_dataset
from thumbnet.data_check.check import check_data
from thumbnet.errors import ConfigError
from thumbnet.models.registry import resolved_options
from thumbnet.recipes import load_recipe
from thumbnet.runs import load_checked, train
from thumbnet.runs.choices.augmentation import Judgement
from thumbnet.runs.folds.config import shared_config
from thumbnet.runs.folds.table import FoldTable
from thumbnet.runs.listing import list_runs
from thumbnet.runs.lr import find_recipe_lr
from thumbnet.runs.planning import apply, choose, facts, ladder, measured, reasons
from thumbnet.runs.planning.apply import candidate_rungs, has_open_stem, is_planned, with_model_of_init, with_rung
from thumbnet.runs.planning.choose import Planned, plan_training
from thumbnet.runs.planning.constants import LADDER, MEASURED_S, OTHER_MODELS, SCALES, Rung
from thumbnet.runs.planning.cost import with_costs
from thumbnet.runs.planning.facts import facts_of, look_at_folder
from thumbnet.runs.planning.ladder import Candidate, DataFacts, can_grow, sizes_of, with_finer_maps
from thumbnet.runs.planning.maps import size_cost
from thumbnet.runs.planning.reasons import reasons_of
from thumbnet.runs.planning.record import PlanRecord, StepTime, plan_from_dict, plan_to_dict
from thumbnet.runs.planning.speed import THIS_MACHINE, ProcessorWatch, Reference, Speed
from thumbnet.runs.reproduce import RECIPE_FROM_CONFIG
from thumbnet.runs.reproduction import reproduce_run
from thumbnet.runs.resolve import load_data, resolve_config, say_nothing
from thumbnet.runs.resume import resume
from thumbnet.runs.run import RunDir
from thumbnet.runs.seeds import train as seeds
from thumbnet.specs.engine import Engine
from thumbnet.specs.optimizers import SGD
from thumbnet.specs.policies import POLICIES, PolicyTraits
from thumbnet.training.class_weights import resolve_class_weights
from thumbnet.training.state import TrainingState
from thumbnet.training.stopping import STOP, Stop
from thumbnet.training.threads import computing_with

FACTS = DataFacts(5000, 500, 500, (2500, 2500), 3, (32, 32), False)


def config_of(*words: str) -> TrainConfig:
    """What `train` with these words trains."""
    parsed = build_parser().parse_args(["train", *words])
    return training_verbs.recipe_config(parsed, default=training_verbs._default_recipe(parsed))


@pytest.mark.parametrize("data", ["folder:pictures", "npz:arrays.npz", "packed:pictures-64"])
def test_images_of_ones_own_are_trained_on_for_ten_minutes(data: str) -> None:
    for words in (["--data", data], ["--set", f"data={data}"], ["--data", data, "--lr", "0.05"]):
        config = config_of(*words)
        assert (config.recipe, config.minutes, config.epochs, config.data) == ("auto", 10, 0, data)
    for words in (
        ["--model", "sprint"],
        ["--epochs", "3"],
        ["--set", "epochs=3"],
        ["--set", "steps=9"],
        ["--recipe", "quick"],
    ):
        assert config_of("--data", data, *words).minutes is None, words
    assert config_of("--data", "digits").recipe == "sprint"


def test_minutes_take_the_place_of_epochs_and_not_both_can_be_given() -> None:
    config = config_of("--minutes", "3")
    assert (config.recipe, config.minutes) == ("auto", 3)
    for words in (["--epochs", "5"], ["--set", "steps=5"], ["--set", "min_steps=5"]):
        with pytest.raises(ConfigError, match=r"is 5 and minutes is 3"):
            config_of("--minutes", "3", *words)
    timed = config_of("--recipe", "sprint", "--minutes", "3")
    assert (timed.minutes, timed.epochs, timed.min_steps, timed.planned) == (3, 0, None, None)
    assert timed.replace(minutes=None, epochs=5, min_steps=150) == load_recipe("sprint")
    assert config_of("--recipe", "auto", "--epochs", "4").minutes is None


@pytest.mark.parametrize("minutes", [0, 0.1, -1, 10_001, float("inf")])
def test_minutes_out_of_reach_are_refused(minutes: float) -> None:
    with pytest.raises(ConfigError, match=r"minutes is "):
        load_recipe("auto", options={"minutes": minutes})


def test_a_length_is_needed_and_a_plan_names_fields_that_it_may_choose() -> None:
    config = load_recipe("quick")
    with pytest.raises(ConfigError, match="epochs is 0, and neither steps nor minutes are given"):
        config.replace(epochs=0, min_steps=None)
    with pytest.raises(ConfigError, match="planned is given without minutes"):
        config.replace(planned=["model"])
    with pytest.raises(ConfigError, match=r"planned is \['seed'\]"):
        config.replace(epochs=None, min_steps=None, minutes=1, planned=["seed"])
    with pytest.raises(ConfigError, match="a pace is given without steps"):
        config.replace(pace_starts=[3], pace_steps=[4])


def test_a_pace_comes_back_from_a_config() -> None:
    config = load_recipe("quick", settings=["steps=50", "pace_starts=[10]", "pace_steps=[20]"])
    assert config.epochs == 0
    assert config_from_toml(config_to_toml(config), name="it") == config
    assert config.pace is not None
    assert config.pace.num_steps == 30
    assert config.with_pace(config.pace, steps_per_epoch=8).epochs == 4


def test_what_is_given_is_no_longer_planned() -> None:
    planned = set(load_recipe("auto").planned or ())
    for settings, given in (
        (["lr=0.3"], {"lr"}),
        (["batch_size=64"], {"batch_size"}),
        (["scales=[1.0]", "scale_starts=[0.0]"], {"scales", "scale_starts"}),
        (
            ["optimizer=sgd"],
            {"optimizer", "lr", "momentum", "nesterov", "weight_decay", "bias_lr", "bias_momentum", "head_lr"},
        ),
    ):
        assert planned - set(load_recipe("auto", settings=settings).planned or ()) == given


def test_a_size_by_the_data_is_the_plans_where_there_are_minutes() -> None:
    assert is_planned(load_recipe("auto"), "image_size")
    assert is_planned(load_recipe("auto", options={"image_size": "auto"}), "image_size")
    assert not is_planned(load_recipe("auto", options={"image_size": 64}), "image_size")


def test_a_recipe_of_the_ladder_gives_the_fields_that_are_planned() -> None:
    config = load_recipe("auto", options={"lr": 0.3, "seed": 7})
    chosen = with_rung(config, LADDER[1], FACTS, grows=True)
    long = load_recipe("sprint-long")
    assert (chosen.model, chosen.inputs.augmentation, chosen.inputs.alternating_flip) == (long.model, "auto", True)
    assert not with_rung(config.replace(flip=False), LADDER[1], FACTS, grows=True).inputs.alternating_flip
    assert dataclasses.replace(long.optimizer, lr=0.3) == chosen.optimizer
    assert (chosen.seed, chosen.inputs.scales, chosen.minutes, chosen.planned) == (7, SCALES, None, None)
    assert with_rung(config, LADDER[1], FACTS, grows=False).inputs.scales == (1.0,)
    assert with_rung(load_recipe("auto"), LADDER[0], FACTS, grows=True).optimizer.lr == pytest.approx(0.1)


@pytest.mark.parametrize("rung", LADDER, ids=lambda rung: rung.recipe)
def test_what_is_given_makes_no_planned_field_wrong(rung: Rung) -> None:
    """An alternating flip of the recipe's where the policy flips nothing."""
    config = load_recipe("auto", settings=["augmentation=none"])
    assert not with_rung(config, rung, FACTS, grows=True).inputs.alternating_flip


def test_a_registered_policy_without_flips_is_planned_without_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(POLICIES._added, "of-ones-own", PolicyTraits(flips=False))
    config = load_recipe("auto", settings=["augmentation=of-ones-own"])
    assert not with_rung(config, LADDER[1], FACTS, grows=True).inputs.alternating_flip


def test_no_momentum_is_planned_without_nesterovs() -> None:
    config = load_recipe("auto", options={"model": "resnet8", "momentum": 0.0})
    (rung,) = candidate_rungs(config)
    assert load_recipe(rung.recipe).optimizer == SGD(lr=0.2, momentum=0.9, nesterov=True, weight_decay=0.0005)
    chosen = with_rung(config, rung, FACTS, grows=True)
    assert isinstance(chosen.optimizer, SGD)
    assert (chosen.optimizer.momentum, chosen.optimizer.nesterov) == (0.0, False)


@pytest.mark.parametrize("asked", ["recall=0.9", "threshold=f1", "threshold=0.2", "costs.a=5"])
def test_classes_are_not_weighed_beside_a_threshold(asked: str) -> None:
    unequal = dataclasses.replace(FACTS, class_counts=(4500, 500))
    config = load_recipe("auto", settings=[asked])
    assert with_rung(config, LADDER[0], unequal, grows=True).objective.class_weights == "none"


def test_classes_of_very_unequal_size_weigh_the_same() -> None:
    unequal = dataclasses.replace(FACTS, class_counts=(4500, 500))
    assert with_rung(load_recipe("auto"), LADDER[0], FACTS, grows=True).objective.class_weights == "none"
    assert with_rung(load_recipe("auto"), LADDER[0], unequal, grows=True).objective.class_weights == "balanced"
    given = load_recipe("auto", settings=["class_weights=none"])
    assert with_rung(given, LADDER[0], unequal, grows=True).objective.class_weights == "none"
    lacking = dataclasses.replace(FACTS, class_counts=(4500, 500, 0))  # of a data source of the user's
    assert with_rung(load_recipe("auto"), LADDER[0], lacking, grows=True).objective.class_weights == "none"


def test_a_model_of_no_recipe_is_trained_as_the_quick_one_is() -> None:
    config = load_recipe("auto", options={"model": "resnet8"})
    (rung,) = candidate_rungs(config)
    assert rung.recipe == OTHER_MODELS
    chosen = with_rung(config, rung, FACTS, grows=True)
    assert (chosen.model, chosen.optimizer) == ("resnet8", load_recipe("quick").optimizer)
    (rung,) = candidate_rungs(load_recipe("thumb-20k", options={"minutes": 5}))
    assert (rung.recipe, rung.cost) == ("thumb-20k", 2.0)
    (rung,) = candidate_rungs(load_recipe("auto", options={"model": "thumb-50k"}))
    assert (rung.recipe, rung.cost, rung.grows) == ("thumb-50k", 3.0, False)


@pytest.mark.parametrize(("model", "sizes", "grows"), [("dilated", [32, 48], False), ("resnet8", [32, 48, 64], True)])
def test_the_size_is_one_that_a_given_model_takes(model: str, sizes: list[int], grows: bool) -> None:
    rungs = candidate_rungs(load_recipe("auto", options={"model": model}))
    facts = dataclasses.replace(FACTS, sides=(70, 70), is_resized=True)
    assert sizes_of(facts, 10, 2**33, rungs) == sizes
    assert can_grow(rungs[0], facts, (48, 48), 20) is grows
    given = load_recipe("auto", settings=["model_options.stem=w16s16"])
    assert [can_grow(candidate_rungs(given)[0], facts, (side, side), 20) for side in (48, 64)] == [False, True]


def test_finer_maps_are_not_for_a_stem_or_weights_that_are_given() -> None:
    assert has_open_stem(load_recipe("auto"))
    assert has_open_stem(load_recipe("auto", settings=["model=thumb-50k"]))
    for given in ("model_options.stem=w2", "model_options.blocks=c24", "init=sprint", "init=auto"):
        assert not has_open_stem(load_recipe("auto", settings=[given]))
    assert not has_open_stem(load_recipe("sprint", options={"minutes": 10}))  # a recipe that leaves no fields open
    (rung,) = with_finer_maps(candidate_rungs(load_recipe("auto", options={"model": "resnet8"})), FACTS, (64, 64))
    assert not rung.stem  # it has none


def test_a_plan_with_finer_maps_has_their_stem_and_says_so() -> None:
    config = load_recipe("auto", options={"minutes": 10})
    rung = next(each for each in with_finer_maps(candidate_rungs(config), FACTS, (64, 64)) if each.stem)
    chosen = with_rung(config, rung, FACTS, grows=False)
    assert chosen.model_options["stem"] == "w2"
    resolved = chosen.replace(epochs=3)
    told = reasons_of(resolved, FACTS, [], sides=(64, 64), minutes=10, steps=9, stem="w2")
    assert any("finer maps" in sentence and "w2" in sentence for sentence in told)
    refused = Candidate("sprint", (64, 64), 7.0, "it would get 7 of the 25 epochs that it needs", "w2")
    told = reasons_of(resolved, FACTS, [refused], sides=(64, 64), minutes=10, steps=9)
    assert told[-1] == "Not sprint on finer maps at 64x64 pixels: it would get 7 of the 25 epochs that it needs."
    assert not any("w2" in sentence for sentence in told)


def test_a_model_that_takes_none_of_the_sizes_is_told() -> None:
    rungs = candidate_rungs(load_recipe("auto", settings=["model=sprint", "model_options.stem=w16s16"]))
    (small,) = (dataclasses.replace(rung, max_side=31) for rung in candidate_rungs(load_recipe("thumb-20k")))
    with pytest.raises(ConfigError, match=r"takes images of 3 to 31 pixels a side, and .* would choose from 32"):
        sizes_of(FACTS, 10, 2**33, [small])
    assert sizes_of(FACTS, 10, 2**33, rungs) == [32]


def test_trained_weights_bring_their_model_along() -> None:
    config = with_model_of_init(load_recipe("auto", options={"init": "thumb-100k"}))
    assert (config.model, dict(config.model_options)) == ("thumb-100k", {})
    (rung,) = candidate_rungs(config)
    assert with_rung(config, rung, FACTS, grows=False).optimizer.lr == load_recipe("thumb-100k").optimizer.lr
    given = load_recipe("auto", options={"init": "thumb-100k", "model": "sprint"})
    assert with_model_of_init(given) == given  # and refused where it is trained


@pytest.mark.parametrize(
    ("fields", "largest"),
    [
        ({"init": "thumb-20k"}, 96),
        ({"init": "auto", "model": "thumb-20k"}, 96),
        ({"model": "thumb-20k"}, 160),  # new weights
        ({"init": "thumb-20k", "model_options": {"stem": "w4s4"}}, 160),
        ({"init": "thumb-50k"}, 160),
    ],
)
def test_the_size_is_one_at_which_trained_weights_can_be_begun_with(fields: dict[str, Any], largest: int) -> None:
    """From 112 pixels on thumb-20k has a stem of fewer channels than its trained blocks take."""
    rungs = candidate_rungs(with_model_of_init(load_recipe("auto", options=fields)))
    facts = dataclasses.replace(FACTS, sides=(300, 300), is_resized=True)
    assert sizes_of(facts, 100, 2**40, rungs)[-1] == largest


def test_trained_weights_bring_no_stem_along_and_leave_one_that_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else smaller or larger images would have the stem of another size, and another cost than is reckoned with."""

    def options_of(**options: str) -> dict[str, Option]:
        card = SimpleNamespace(model="sprint", model_options=options)
        monkeypatch.setattr(apply, "load_trained", lambda name: SimpleNamespace(card=card))
        config = with_model_of_init(load_recipe("auto", options={"init": "runs/cells"}))
        assert config.model == "sprint"
        return dict(config.model_options)

    usual = str(resolved_options("sprint", {})["blocks"])
    given = load_recipe("auto", options={"init": "thumb-20k"}, settings=["model_options.stem=w3s2c24"])
    assert dict(with_model_of_init(given).model_options) == {"stem": "w3s2c24"}
    assert options_of(blocks=usual, stem="w4s2") == {}
    assert options_of(blocks="c16p", stem="w4s2") == {"blocks": "c16p", "stem": "w4s2"}


def test_verbs_that_do_not_train_one_run_refuse_a_plan(tmp_path: Path) -> None:
    config = load_recipe("auto", options={"data": "digits"})
    with pytest.raises(ConfigError, match=r"the recipe 'auto' plans a training of 10 minutes"):
        check_data(config, out=tmp_path / "check")
    with pytest.raises(ConfigError, match=r"plans a training"):
        find_recipe_lr(config)
    assert not (tmp_path / "check").exists()


def test_the_recipes_tell_minutes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recipes"]) == 0
    assert "auto: sprint, 10 minutes" in capsys.readouterr().out


def planned_config(path: Path, **fields: Any) -> TrainConfig:
    config = small_config(write_small_data(path / "data.npz"), **fields)
    return config.replace(epochs=None, minutes=1.0)


def test_a_plan_fills_the_time_that_is_left(tmp_path: Path) -> None:
    fake = FakeTime(step_s=0.5)
    planned = fake.plan(planned_config(tmp_path))
    record = planned.record
    steps_per_epoch = 2  # 28 of the 40 images are left to train on
    taken_s = record.steps * (0.5 + record.scoring_s / steps_per_epoch) + record.scoring_s
    left_s = 60 - record.planned_s - record.reserve_s
    assert left_s - 2 < taken_s <= left_s
    assert (planned.config.steps, planned.config.minutes, planned.config.epochs) == (record.steps, None, 0)
    assert plan_from_dict(json.loads(json.dumps(plan_to_dict(record))), name="plan.json") == record
    assert record.reasons[0].startswith("1 minute: sprint at 16x16 pixels, ")


def test_test_images_that_are_scored_after_every_epoch_take_time(tmp_path: Path) -> None:
    once, always = (
        FakeTime(step_s=0.5).plan(planned_config(tmp_path, score_test=score_test)).record
        for score_test in ("end", "each-epoch")
    )
    assert always.scoring_s - once.scoring_s == pytest.approx(1e-4 * always.facts.num_test)


def test_at_most_a_fifth_is_trained_between_two_checkpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measured, "CHECKPOINT_S", 2.0)  # by its share of the time, it would come every 40 epochs
    planned = FakeTime(step_s=0.5).plan(planned_config(tmp_path).replace(planned=("score_every",)))
    epoch_s = 2 * 0.5
    assert 1 < planned.config.score_every * epoch_s <= 60 / 5


def test_a_policy_that_is_to_be_chosen_gets_a_part_of_the_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, int | None]] = []

    def judge(config: TrainConfig, dataset: Dataset, **more: Any) -> Judgement:
        asked.append((config.epochs, more["most_steps"]))
        return Judgement(default_flip=False, why="it is made up")

    monkeypatch.setattr(choose, "judge_policies", judge)
    planned = FakeTime(step_s=0.5).plan(planned_config(tmp_path, augmentation="auto"))
    assert (planned.config.inputs.augmentation, planned.config.inputs.flip) == ("strong", False)
    ((epochs, most_steps),) = asked
    assert epochs == pytest.approx(planned.record.epochs, abs=3)
    assert most_steps is not None
    probe_step_s = 0.33e-3 * size_cost("sprint", (16, 16)) * 28  # of `sprint`, on all 28 images, too small to grow
    assert 0.04 * 50 <= most_steps * probe_step_s <= 0.05 * 60
    assert planned.record.probe_steps == most_steps


@pytest.mark.parametrize("flips", [False, True])
def test_an_alternating_flip_that_is_given_goes_where_flips_do_harm(
    flips: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judgement = Judgement(default_flip=flips, why="it is made up")
    monkeypatch.setattr(choose, "judge_policies", lambda config, dataset, **more: judgement)
    planned = FakeTime(step_s=0.5).plan(planned_config(tmp_path, augmentation="auto", alternating_flip=True))
    assert (planned.config.inputs.flip, planned.config.inputs.alternating_flip) == (flips, flips)


@pytest.mark.parametrize(
    ("step_s", "strong_step_s", "expected", "num_measured"),
    [
        (1.0, 5.0, "shift2-flip", 1),  # no more than 40 epochs of 2 steps
        (0.5, 0.52, "strong", 2),
        (0.5, 1.0, "shift2-flip", 2),  # with `strong`, no more than 40 are left
    ],
)
def test_a_policy_that_takes_time_is_measured_with_it_and_is_for_the_epochs_that_are_left(
    step_s: float,
    strong_step_s: float,
    expected: str,
    num_measured: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Dear(FakeTime):
        def speed(self, config: TrainConfig, dataset: Dataset, *, seconds: float) -> Speed:
            self.step_s = strong_step_s if config.inputs.augmentation == "strong" else step_s
            return super().speed(config, dataset, seconds=seconds)

    monkeypatch.setattr(choose, "judge_policies", lambda config, dataset, **more: Judgement(why="it is made up"))
    fake, said = Dear(step_s=step_s), list[str]()
    planned = fake.plan(planned_config(tmp_path, augmentation="auto"), said.append)
    assert planned.config.inputs.augmentation == expected
    assert fake.now_s == 50.0 + num_measured * MEASURED_S
    sentence = f"augmentation: {expected}, with flips left to right, for {planned.record.epochs} epochs; it is made up."
    assert sentence in said
    assert sentence in planned.dataset.source.remarks
    assert planned.record.policy_epochs is not None
    assert (planned.record.policy_epochs > 40) == (expected == "strong")  # what folds choose theirs for


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"threshold": "f1", "positive": "zebra"}, "zebra"),
        ({"val_fraction": 0.0, "patience": 3}, "patience is 3, but no images are held out"),
        ({"class_weights": {"zebra": 2}}, "class_weights names 'zebra'"),
    ],
)
def test_what_a_training_refuses_is_refused_before_anything_is_tried(
    fields: dict[str, Any], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choose, "judge_policies", lambda *given, **more: pytest.fail("a short training for nothing"))
    with pytest.raises(ConfigError, match=message):
        FakeTime(step_s=0.5).plan(planned_config(tmp_path, augmentation="auto", **fields))


def test_too_few_minutes_are_refused_with_their_numbers(tmp_path: Path) -> None:
    fake = FakeTime(step_s=30.0)
    with pytest.raises(ConfigError, match=r"1 minute would pass before the first steps: reading 40 images takes"):
        fake.plan(planned_config(tmp_path))


def test_a_teacher_and_minutes_are_refused(tmp_path: Path) -> None:
    config = planned_config(tmp_path, augmentation="crop-flip", teacher="runs/teacher")
    with pytest.raises(ConfigError, match="minutes is given with a teacher"):
        plan_training(config, began_s=0.0, say=say_nothing)


def test_a_cheaper_recipe_is_taken_where_the_measured_speed_is_lower(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ladder, "MAX_STEPS_OF_FEW", 20_000)  # so that sprint-long may get the steps that it needs
    fake = FakeTime(step_s=8.0)
    config = load_recipe("auto", options={"data": f"npz:{write_small_data(tmp_path / 'data.npz')}", "minutes": 2})
    record = fake.plan(config).record
    assert record.recipe == "sprint"
    assert [candidate.recipe for candidate in record.not_taken] == ["thumb-200k", "sprint-long"]
    assert record.not_taken[-1].against.startswith("measured, it would get ")


def record_of(recipe: str, facts: DataFacts) -> PlanRecord:
    return PlanRecord(
        minutes=1.0, facts=facts, recipe=recipe, steps=5, epochs=3, max_steps=30, image_s=1e-3,
        reading_s=0.1, planned_s=0.2, reserve_s=0.5, scoring_s=0.0, tolerance_s=1e9, step_s=(StepTime(16, 16, 0.01),),
        reasons=("1 minute: chosen for the test.",),
    )  # fmt: skip


def made_plan(config: TrainConfig, **more: Any) -> Planned:
    """A plan of five steps, of which the second takes a minute: no more than two are left after that."""
    dataset, _ = load_data(config.replace(minutes=None, epochs=1), say=say_nothing)
    return Planned(config.replace(minutes=None, steps=5), dataset, record_of("small", facts_of(dataset)))


@pytest.mark.parametrize(("augmentation", "alternates"), [("none", False), ("strong", True)])
def test_folds_have_an_alternating_flip_of_the_plans_where_their_policy_flips(
    augmentation: str, alternates: bool
) -> None:
    asked = load_recipe("auto", settings=[f"augmentation={augmentation}"])
    first = with_rung(asked, LADDER[1], FACTS, grows=True)
    plan = record_of(LADDER[1].recipe, FACTS)
    assert shared_config(asked, first, FoldTable(()), ("a", "b"), plan).inputs.alternating_flip is alternates


def test_a_run_records_its_plan_and_its_config_trains_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = planned_config(tmp_path)
    monkeypatch.setattr(train, "plan_training", made_plan)
    run = train.train(config, run_dir=tmp_path / "run", log_style="silent")
    assert run.asked == config
    assert (run.config.minutes, run.config.steps, run.config.epochs) == (None, 5, 3)
    assert (run.metrics["minutes"], run.metrics["steps"], run.metrics["epochs"]) == (1.0, 5, 3)
    plan = RunDir(run.path).read_plan()
    assert plan is not None
    assert plan.steps == 5
    assert "plan.json" in (run.path / "SHA256SUMS").read_text()
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "benchmarks"))
    from bench_minutes import training_of, trainings_in

    assert trainings_in(run.path) == [run.path]
    read = training_of(run.path)
    assert (read["recipe"], read["steps"], read["num_paces"], read["augmentation"]) == ("small", 5, 0, "none")
    assert not read["ends_early"]
    report = (run.path / "report.html").read_text()
    assert "1 minute: chosen for the test." in report
    assert RECIPE_FROM_CONFIG in report
    assert "1 minute for the whole command" in report
    monkeypatch.setattr(train, "plan_training", None)
    again = train.train(
        load_recipe(str(run.path / "config.toml")), run_dir=tmp_path / "again", log_style="silent", pictures=False
    )
    ours, theirs = run.model.state_dict(), again.model.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert not (again.path / "plan.json").exists()


def test_a_pace_that_changed_is_recorded_and_a_stopped_run_follows_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def in_a_hurry(config: TrainConfig, **more: Any) -> Planned:
        planned = made_plan(config)
        slow = (StepTime(16, 16, 1e-9),)  # so that what is measured seems slow: all that is left is one step
        record = dataclasses.replace(planned.record, tolerance_s=0.0, reserve_s=59.0, step_s=slow, steps=40)
        return Planned(planned.config.replace(steps=40), planned.dataset, record)

    monkeypatch.setattr(train, "plan_training", in_a_hurry)
    config = planned_config(tmp_path)
    run = train.train(config, run_dir=tmp_path / "run", log_style="silent", pictures=False)
    assert run.config.pace is not None
    assert run.config.pace.starts
    assert run.config.pace.num_steps < 40
    assert run.metrics["epochs"] == len(run.history) == run.config.epochs
    assert reproduce_run(run.path, log_style="silent").is_same
    weights = run.model.state_dict()
    (run.path / "metrics.json").unlink()
    sums = [line for line in (run.path / "SHA256SUMS").read_text().splitlines() if "metrics" not in line]
    (run.path / "SHA256SUMS").write_text("\n".join(sums) + "\n")
    resumed = resume(run.path, log_style="silent", pictures=False)
    assert resumed.config == run.config
    assert all(torch.equal(weights[name], tensor) for name, tensor in resumed.model.state_dict().items())


def test_a_run_that_chooses_its_augmentation_itself_does_so_in_the_plans_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the runs of other folds than the first do, each with its own training images."""
    asked: list[tuple[int | None, int | None]] = []

    def choose_none(config: TrainConfig, dataset: Dataset, **more: Any) -> tuple[TrainConfig, Dataset]:
        asked.append((more["most_steps"], more["epochs"]))
        return config.replace(augmentation="none", flip=False), dataset

    def with_probe(config: TrainConfig, **more: Any) -> Planned:
        planned = made_plan(config)
        return dataclasses.replace(planned, record=dataclasses.replace(planned.record, probe_steps=7, policy_epochs=30))

    monkeypatch.setattr(load_checked, "with_chosen_policy", choose_none)
    monkeypatch.setattr(train, "plan_training", with_probe)
    config = planned_config(tmp_path, augmentation="auto")
    train.train(config, run_dir=tmp_path / "run", log_style="silent", pictures=False)
    assert asked == [(7, 30)]


def test_seeds_are_planned_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def count(config: TrainConfig, **more: Any) -> Planned:
        calls.append(config)
        return made_plan(config)

    monkeypatch.setattr(seeds, "plan_training", count)
    config = planned_config(tmp_path)
    done = seeds.train_seeds(config, num_seeds=2, run_dir=tmp_path / "runs", log_style="silent", pictures=False)
    assert calls == [config]
    assert [run.config.steps for run in done.runs] == [5, 5]
    assert [run.metrics["minutes"] for run in done.runs] == [1.0, 1.0]
    assert done.runs[1].asked == config.replace(seed=config.seed + 1)
    assert source_name(config.data) == done.runs[0].config.data


def test_steps_and_epochs_that_do_not_fit_the_data_are_refused(tmp_path: Path) -> None:
    config = small_config(write_small_data(tmp_path / "data.npz")).replace(epochs=9, steps=5)
    with pytest.raises(ConfigError, match="epochs is 9, but 5 steps are 3 epochs of 2 steps here"):
        train.train(config, run_dir=tmp_path / "run", log_style="silent")


def in_no_hurry(max_steps: int) -> Callable[..., Planned]:
    """The plan is for ten steps, and the clock has time for many more."""

    def plan(config: TrainConfig, **more: Any) -> Planned:
        planned = made_plan(config)
        record = dataclasses.replace(planned.record, tolerance_s=0.0, steps=10, max_steps=max_steps)
        return Planned(planned.config.replace(steps=10), planned.dataset, record)

    return plan


@pytest.fixture
def stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Stop | None], Path]:
    """A run of which five epochs were planned: the clock made seven of them, and after the sixth it was stopped, or
    interrupted."""

    def run(answer: Stop | None) -> Path:
        def after_the_sixth(state: TrainingState) -> Stop | None:
            if state.epoch == 6 and answer is None:
                raise KeyboardInterrupt
            return answer if state.epoch == 6 else None

        monkeypatch.setattr(train, "plan_training", in_no_hurry(13))
        with suppress(KeyboardInterrupt):
            config = planned_config(tmp_path)
            train.train(config, run_dir=tmp_path / "run", pictures=False, on_epoch_end=after_the_sixth)
        return tmp_path / "run"

    return run


def test_a_training_that_is_stopped_is_told_of_the_epochs_that_the_clock_had_made(
    stopped: Callable[[Stop | None], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    stopped(STOP)
    assert "Ended early, after epoch 6 of 7: on_epoch_end returned STOP." in capsys.readouterr().err


def test_a_training_that_goes_on_is_told_of_the_epochs_that_the_clock_had_made(
    stopped: Callable[[Stop | None], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    path = stopped(None)
    assert [row.state for row in list_runs(path)] == ["stopped after epoch 6, 5 were planned"]
    resumed = resume(path, pictures=False)
    assert f"Resuming {path} after epoch 6 of 7." in capsys.readouterr().err
    assert resumed.config.epochs == 7


def test_a_training_that_the_clock_made_the_longest_there_is_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A plan makes no more than twelve steps."""
    monkeypatch.setattr(train, "plan_training", in_no_hurry(12))
    run = train.train(planned_config(tmp_path), run_dir=tmp_path / "run")
    assert (run.metrics["steps"], run.metrics["epochs"]) == (12, 6)
    (sentence,) = reasons.describe_longest(RunDir(run.path).read_plan(), [run.metrics])
    begin = "The longest training that a plan makes of so many images, 6 epochs, was reached before 1 minute had passed"
    assert sentence.startswith(begin)
    assert sentence in capsys.readouterr().err
    assert html.escape(sentence, quote=False) in html.unescape((run.path / "report.html").read_text())
    shorter = {**run.metrics, "steps": 11}
    assert reasons.describe_longest(RunDir(run.path).read_plan(), [shorter]) == []
    assert reasons.describe_longest(None, [run.metrics]) == []
    (several,) = reasons.describe_longest(RunDir(run.path).read_plan(), [run.metrics, shorter])
    assert " was reached by 1 of 2 trainings before 1 minute had passed" in several
    assert several.endswith("RUN/shared.toml --epochs N`, with `--seeds` or `--folds` as before.")
    assert sentence.endswith("RUN/config.toml --epochs N`.")
    monkeypatch.setattr(train, "plan_training", None)
    longer = load_recipe(str(run.path / "config.toml"), options={"epochs": 9})  # what the sentence advises
    assert (longer.epochs, longer.steps, longer.pace_starts, longer.model) == (9, None, None, run.config.model)


class Busy(FakeTime):
    """A machine whose threads have half of the processors' time: fewer threads train faster."""

    processor_share = 0.5
    image_s_by_threads: Mapping[int, float] = {}

    def reference(self, engine: Engine, *, seconds: float) -> Reference:
        image_s = self.image_s_by_threads.get(torch.get_num_threads(), 9.0)
        return Reference(image_s, self.processor_share)


@pytest.mark.parametrize(
    ("share", "image_s", "threads", "times"),
    [
        (0.5, {4: 4e-3, 2: 2e-3, 1: 1e-3}, 1, 4),
        (0.5, {4: 4e-3, 2: 1e-3, 1: 1e-3}, 2, 4),
        (0.5, {4: 1e-3, 2: 1e-3, 1: 1e-4}, None, None),
        (1.0, {4: 4e-3, 2: 2e-3, 1: 1e-3}, None, None),
    ],
)
def test_fewer_threads_are_taken_where_others_keep_the_processors_busy_and_fewer_are_faster(
    tmp_path: Path, share: float, image_s: dict[int, float], threads: int | None, times: int | None
) -> None:
    fake = Busy(step_s=0.5)
    fake.processor_share, fake.image_s_by_threads = share, image_s
    with computing_with(4):
        planned = fake.plan(planned_config(tmp_path))
        assert torch.get_num_threads() == 4
    assert planned.config.engine.threads == threads
    assert planned.record.image_s == image_s[threads or 4]
    told = [reason for reason in planned.record.reasons if "instead of 4" in reason]
    assert len(told) == (threads is not None)
    assert all(f"{threads} thread" in reason and f"{times}.0 times as fast" in reason for reason in told)


def test_threads_that_are_given_are_kept(tmp_path: Path) -> None:
    fake = Busy(step_s=0.5)
    fake.image_s_by_threads = {2: 4e-3, 1: 1e-3}
    planned = fake.plan(planned_config(tmp_path, threads=2))
    assert planned.config.engine.threads == 2
    assert planned.record.image_s == 4e-3


def test_the_end_is_as_slow_as_the_machine_and_not_as_few_threads(tmp_path: Path) -> None:
    """One thread takes twice as long for an image as two, but what comes after the training takes no longer."""
    fake = Busy(step_s=0.5, image_s=0.0)
    fake.image_s_by_threads = {2: 1e-3, 1: 2e-3}
    one, two = (fake.plan(planned_config(tmp_path, threads=threads)).record for threads in (1, 2))
    assert one.reserve_s == two.reserve_s


def test_the_processors_time_is_that_of_all_threads() -> None:
    watch = ProcessorWatch()
    watch.ends, watch.processors_s = [(1, 10.0), (3, 14.0)], [5.0, 8.0]
    with computing_with(3):
        assert watch.processor_share() == pytest.approx(0.25)


def test_what_the_processors_time_was_is_measured() -> None:
    with computing_with(1):
        reference = THIS_MACHINE.reference(load_recipe("sprint").engine, seconds=0.05)
    assert reference.image_s > 0
    assert 0.02 < reference.processor_share < 3  # of the thread that computes, beside those that read


def test_speed_is_measured_at_each_size_of_growing_images(tmp_path: Path) -> None:
    config = small_config(write_small_data(tmp_path / "data.npz"), scales=(0.5, 1.0), scale_starts=(0.0, 0.5))
    dataset = random_dataset(20, (1, 32, 24), 3)
    speed = THIS_MACHINE.speed(resolve_config(config, dataset), dataset, seconds=0.01)
    assert set(speed.step_s) == {(16, 16), (32, 24)}
    assert all(seconds > 0 for seconds in (*speed.step_s.values(), speed.eval_image_s))
    same_size = random_dataset(20, (1, 16, 16), 3)
    assert set(THIS_MACHINE.speed(resolve_config(config, same_size), same_size, seconds=0.01).step_s) == {(16, 16)}


def test_pictures_are_known_by_their_own_sides_also_where_a_size_is_given(tmp_path: Path) -> None:
    for number in range(8):
        file = tmp_path / "pictures" / str(number % 2) / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (60, 40), number).save(file)
    data = f"folder:{tmp_path / 'pictures'}"
    read, _ = load_data(small_config(Path("x.npz")).replace(data=data, image_size=16), say=say_nothing)
    known = facts_of(read)
    assert (known.sides, known.is_resized) == ((40, 60), True)
    assert [known.keep_detail((side, side)) for side in (16, 32)] == [False, True]
    own = facts_of(random_dataset(8, (1, 16, 16), 2))
    assert (own.sides, own.is_resized) == ((16, 16), False)


def test_pictures_that_are_given_in_python_have_time_for_their_report_too(tmp_path: Path) -> None:
    """It has accuracy under corruptions; `data` is auto where a dataset is given."""
    generator = np.random.default_rng(0)
    for number in range(20):
        file = tmp_path / "pictures" / str(number % 2) / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(generator.integers(0, 256, (16, 16), np.uint8)).save(file)
    config = planned_config(tmp_path, image_size=16).replace(data=f"folder:{tmp_path / 'pictures'}")
    dataset = load_dataset(config.data, image_size=16, val_fraction=0.2)
    read, given = FakeTime(0.5).plan(config), FakeTime(0.5).plan(config.replace(data="auto"), dataset=dataset)
    assert given.record.reserve_s == read.record.reserve_s


def test_a_folder_is_looked_at_without_being_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(40):
        file = tmp_path / "pictures" / str(number % 2) / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (70 if number else 9, 50), number).save(file)
    (tmp_path / "pictures" / "0" / "broken.png").write_text("no picture")
    monkeypatch.setattr(facts, "PROGRESS_AFTER_S", 0.0)
    shown = io.StringIO()
    with redirect_stderr(shown):
        look = look_at_folder(small_config(tmp_path / "none").replace(data=f"folder:{tmp_path / 'pictures'}"))
    assert look.facts == DataFacts(30, 7, 4, (21, 20), 1, (50, 70), True)
    assert look.reading_s > 0
    assert "listing files: 41 " in shown.getvalue()
    excluded = tmp_path / "exclude.csv"
    excluded.write_text("index,path,label,suggested,score,kind\n3,,,,,\n4,,,,,\n")
    whole = small_config(tmp_path / "none").replace(data=f"folder:{tmp_path / 'pictures'}")
    cases: list[tuple[dict[str, Any], tuple[int, int, int]]] = [
        ({"num_train": 12}, (12, 7, 4)),
        ({"folds": 2, "fold": 0}, (17, 4, 20)),
        ({"exclude": str(excluded)}, (28, 7, 4)),
    ]
    for fields, numbers in cases:
        found = look_at_folder(whole.replace(**fields)).facts
        assert (found.num_train, found.num_val, found.num_test) == numbers, fields
    assert look_at_folder(whole.replace(num_train=12)).num_files == 41
    few = dataclasses.replace(FACTS, num_train=100, num_val=0, num_test=0, sides=(64, 64))
    assert sizes_of(few, 10, 2 * 3 * 100 * 64**2) == [32, 48, 64]
    assert sizes_of(few, 10, 2 * 3 * 100 * 64**2, num_read=200) == [32]  # which all are in memory


def test_what_the_cache_has_is_not_to_be_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a minute would be over before the first step where all pictures are at hand."""
    monkeypatch.setenv("THUMBNET_CACHE", str(tmp_path / "cache"))
    for number in range(40):
        file = tmp_path / "pictures" / str(number % 2) / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (50, 50), number).save(file)
    data = f"folder:{tmp_path / 'pictures'}"
    fixed = {"augmentation": "shift-flip", "scales": [1.0], "scale_starts": [0.0]}
    config = load_recipe("auto", options={"data": data, "minutes": 1.0, **fixed})
    assert look_at_folder(config).kept_sides == frozenset()
    load_dataset(data, image_size=32, show_progress=False)
    look = dataclasses.replace(look_at_folder(config), reading_s=1000.0)
    assert look.kept_sides == {(32, 32)}
    assert look.reading_s_at((32, 32)) < 1
    assert look.reading_s_at((48, 48)) == 1000
    assert look_at_folder(config.replace(fit="letterbox")).kept_sides == frozenset()
    monkeypatch.setattr(choose, "look_at_folder", lambda config: look)
    assert FakeTime(step_s=0.01).plan(config).config.image_size == 32
    Image.new("L", (50, 50), 7).save(tmp_path / "pictures" / "0" / "another.png")
    assert look_at_folder(config).kept_sides == frozenset()
    monkeypatch.setattr(choose, "look_at_folder", lambda config: dataclasses.replace(look, kept_sides=frozenset()))
    with pytest.raises(ConfigError, match="reading 40 images takes 1000 s"):
        FakeTime(step_s=0.01).plan(config)


@pytest.mark.parametrize(("step_s", "expected", "refused"), [(0.001, 96, [128]), (5.0, 32, [128, 96, 64, 48])])
def test_a_network_that_no_recipe_is_of_is_measured_before_its_size_is_chosen(
    step_s: float, expected: int, refused: list[int], tmp_path: Path
) -> None:
    """Larger images would leave a slow one a few epochs."""
    for number in range(40):
        file = tmp_path / "pictures" / str(number % 2) / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (120, 120), number).save(file)
    fixed = {"augmentation": "shift-flip", "scales": [1.0], "scale_starts": [0.0]}
    given = {"data": f"folder:{tmp_path / 'pictures'}", "model": "resnet8", "minutes": 1.0}
    planned = FakeTime(step_s=step_s).plan(load_recipe("auto", options={**given, **fixed}))
    assert planned.config.image_size == expected
    assert [each.sides for each in planned.record.not_taken] == [(side, side) for side in refused]
    assert planned.record.not_taken[0].against == "images of this size are for 20 minutes and more"


def test_the_cost_is_that_of_the_network_whatever_the_recipe_is_called() -> None:
    fake = FakeTime(step_s=0.33e-3 * 128 * 7)  # of 128 images, seven times those of `sprint`

    def cost_of(config: TrainConfig, rung: Rung) -> float:
        (found,) = with_costs(config, [rung], FACTS, fake, image_s=0.33e-3)
        return found.cost

    given = load_recipe("auto", options={"model": "resnet8"})
    assert cost_of(given, Rung("mine", 1.0, model="thumb-200k")) == 6.5
    assert cost_of(given, Rung("quick", 1.0, model="resnet8")) == pytest.approx(7.0)
    other_blocks = load_recipe("auto", settings=["model=sprint", "model_options.blocks=c8p"])
    assert cost_of(other_blocks, Rung("sprint", 1.0)) == pytest.approx(7.0)
    mine = load_recipe("sprint", options={"minutes": 5, "recipe": "mine", "image_size": "auto"})
    assert [(rung.recipe, rung.network) for rung in candidate_rungs(mine)] == [("mine", "sprint")]


def test_the_cost_is_measured_also_where_classes_are_named() -> None:
    """By `class_weights`: the images that it is measured on are of no such class."""

    class Trains(FakeTime):
        def speed(self, config: TrainConfig, dataset: Any, *, seconds: float) -> Speed:
            resolve_class_weights(config.objective, config.inputs, dataset.train.labels, dataset.class_names)
            return super().speed(config, dataset, seconds=seconds)

    config = load_recipe("auto", options={"model": "resnet8"}, settings=["class_weights.cat=3"])
    (rung,) = with_costs(config, candidate_rungs(config), FACTS, Trains(step_s=0.33e-3 * 128 * 7), image_s=0.33e-3)
    assert rung.cost == pytest.approx(7.0)


def test_a_network_that_takes_no_small_images_is_not_measured_on_them() -> None:
    class Refuses(FakeTime):
        def speed(self, config: TrainConfig, dataset: Any, *, seconds: float) -> Speed:
            raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    config = load_recipe("auto", options={"model": "resnet8"})
    (rung,) = with_costs(config, candidate_rungs(config), FACTS, Refuses(step_s=1.0), image_s=0.33e-3)
    assert rung.cost == 1.0


@pytest.mark.parametrize("slow_one", [0, 20])
def test_what_takes_long_once_is_not_counted_for_all_pictures(
    slow_one: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first one, for which formats are loaded, or another that the system kept waiting."""
    for number in range(64):
        file = tmp_path / "pictures" / str(number % 2) / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (9, 9), number).save(file)
    numbers = itertools.count()

    def read(file: Path, *, image_size: int) -> np.ndarray:
        time.sleep(0.2 if next(numbers) == slow_one else 0.0)
        return np.zeros((3, image_size, image_size), np.uint8)

    monkeypatch.setattr(facts, "read_image_array", read)
    look = look_at_folder(small_config(tmp_path / "none").replace(data=f"folder:{tmp_path / 'pictures'}"))
    assert look.reading_s < 0.15
    assert look.facts.num_channels == 3
