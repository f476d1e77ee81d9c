"""The rule of minutes, by reckoning alone: what is chosen grows with the time, and never passes what is there."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from thumbnet.recipes import load_recipe
from thumbnet.runs.planning.constants import (
    FULL_FROM,
    GROWTH_COST,
    LADDER,
    LARGEST_SIZE,
    MAX_EPOCHS,
    MAX_STEPS_OF_FEW,
    PIXELS_SHARE,
    REFERENCE_IMAGE_S,
    REPORT_IMAGE_S,
    ROBUSTNESS_SHARE,
    SIZES,
    Rung,
)
from thumbnet.runs.planning.ladder import (
    Budget,
    DataFacts,
    against_larger,
    batch_of,
    can_grow,
    choose_rung,
    choose_size,
    epochs_in,
    epochs_needed,
    full_from,
    grows_in,
    most_steps,
    rate_of,
    rungs_of,
    sizes_of,
    with_finer_maps,
)
from thumbnet.runs.planning.maps import finer_stem, size_cost
from thumbnet.runs.planning.reserve import end_s, robustness_s
from thumbnet.runs.planning.times import Times
from thumbnet.specs.data import PICTURE_SOURCES

IMAGE_S = 0.33e-3
ROOT = Path(__file__).parents[1]
OTHER = Rung("quick", 1.0)


def facts_of(num_train: int, side: int = 32, *, num_channels: int = 3) -> DataFacts:
    return DataFacts(num_train, num_train // 10, num_train // 5, (num_train,), num_channels, (side, side), True)


def budget_of(minutes: float, *, image_s: float = IMAGE_S) -> Budget:
    return Budget(minutes, image_s, lambda sides: max(0.0, 60 * minutes - 20))


def chosen(num_train: int, side: int, minutes: float, *, image_s: float = IMAGE_S) -> tuple[str, int, float]:
    """Recipe, image side and epochs."""
    rung, size, epochs = rung_chosen(num_train, side, minutes, image_s=image_s)
    return rung.recipe, size, epochs


def rung_chosen(num_train: int, side: int, minutes: float, *, image_s: float = IMAGE_S) -> tuple[Rung, int, float]:
    facts, budget = facts_of(num_train, side), budget_of(minutes, image_s=image_s)
    size, _ = choose_size(facts, budget, LADDER, sizes_of(facts, minutes, 2**33), may_grow=True)
    rungs = with_finer_maps(LADDER, facts, (size, size))
    rung, _ = choose_rung(facts, budget, rungs, (size, size), may_grow=True)
    return rung, size, epochs_in(budget, facts, rung, (size, size), may_grow=True)


@pytest.mark.parametrize(
    ("num_train", "side", "minutes", "recipe", "size"),
    [
        (45_000, 32, 2, "sprint", 32),
        (45_000, 32, 10, "sprint-long", 32),
        (45_000, 32, 60, "sprint-long", 32),
        (45_000, 32, 240, "thumb-200k", 32),
        (1_900, 300, 0.5, "sprint", 64),
        (1_900, 300, 0.4, "sprint", 32),
        (1_900, 300, 2, "sprint", 96),  # sprint-long would get some twenty epochs of 15 steps
        (1_900, 300, 10, "sprint-long", 96),
        (1_300, 8, 1, "sprint", 32),
        (1_300, 8, 3, "sprint-long", 32),
        (20, 32, 10, "sprint", 32),  # a thousand steps are the most that so few get
        (300, 32, 10, "sprint", 32),  # 300 epochs of so few are no 192,000 images
    ],
)
def test_what_is_chosen(num_train: int, side: int, minutes: float, recipe: str, size: int) -> None:
    assert chosen(num_train, side, minutes)[:2] == (recipe, size)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(20, 200_000), st.integers(4, 2000), st.floats(0.5, 200), st.floats(1.1, 20), st.floats(0.05e-3, 5e-3)
)
@example(5_000, 32, 3.0, 1.3, 0.33e-3)  # sprint-long needs more epochs than those from which on images are full
@example(5_000, 32, 3.4, 1.1, 0.33e-3)
def test_more_minutes_give_no_smaller_size_and_at_that_size_no_lower_recipe(
    num_train: int, side: int, minutes: float, factor: float, image_s: float
) -> None:
    rung, size, epochs = rung_chosen(num_train, side, minutes, image_s=image_s)
    more, more_size, more_epochs = rung_chosen(num_train, side, factor * minutes, image_s=image_s)
    assert more_size >= size
    if more_size == size:
        order = with_finer_maps(LADDER, facts_of(num_train, side), (size, size))
        assert order.index(more) >= order.index(rung)
        if more == rung:  # as many epochs, or of full images, each of which takes longer
            is_full_now = GROWTH_COST * epochs < full_from(rung, facts_of(num_train, side)) <= more_epochs
            assert more_epochs >= epochs * (1 - 1e-9) or (is_full_now and more_epochs >= GROWTH_COST * epochs)
    steps_per_epoch = max(1, num_train // 512)
    assert epochs <= max(MAX_EPOCHS, MAX_STEPS_OF_FEW / steps_per_epoch)


@pytest.mark.parametrize(
    ("side", "grows"), [(8, True), (12, True), (20, True), (21, False), (28, False), (32, False), (64, True)]
)
def test_pictures_that_small_images_show_whole_grow_however_long_the_training(side: int, grows: bool) -> None:
    """Those of 64 pixels are reduced to 32 anyway."""
    facts = facts_of(1_300, side)
    budget = Budget(3.0, 0.33e-3, lambda sides: 150.0)
    assert grows_in(budget, facts, LADDER[0], (32, 32)) == grows
    assert not grows_in(budget, replace(facts, is_resized=False, sides=(32, 32)), LADDER[0], (32, 32))


def test_the_cost_of_larger_images_is_that_behind_the_stem() -> None:
    assert size_cost("sprint", (32, 32)) == 1
    maps = 1 - PIXELS_SHARE
    assert size_cost("sprint", (48, 48)) == pytest.approx(maps * (47 / 31) ** 2 + PIXELS_SHARE * (48 / 32) ** 2)
    assert size_cost("sprint", (96, 96)) == pytest.approx(maps * (47 / 31) ** 2 + PIXELS_SHARE * 9)  # patches 2 apart
    assert size_cost("no network of blocks", (64, 64)) > 3.5
    growing = [
        size_cost("sprint", (side, side), full=(64, 64)) for side in (32, 48, 64)
    ]  # by the stem of the full ones
    assert growing == sorted(growing)
    assert growing[0] == pytest.approx(maps * (15 / 31) ** 2 + PIXELS_SHARE)
    assert growing[-1] == size_cost("sprint", (64, 64))


def test_images_are_full_where_the_time_has_epochs_enough() -> None:
    rung = LADDER[0]
    facts = facts_of(2_000, 64)
    counts = (1, 2, FULL_FROM - 1, FULL_FROM)
    assert [can_grow(rung, facts, (64, 64), epochs) for epochs in counts] == [False, True, True, False]
    reduced = facts_of(2_000, 300)  # whose images have no detail of the pictures' own
    assert [can_grow(rung, reduced, (64, 64), epochs) for epochs in counts] == [False, True, True, True]
    assert [facts_of(2_000, side).keep_detail((64, 64)) for side in (20, 64, 80, 81)] == [True, True, True, False]
    assert replace(reduced, is_resized=False).keep_detail((64, 64))
    epoch_s = 2_000 * IMAGE_S * size_cost("sprint", (64, 64))
    budgets = [Budget(1, IMAGE_S, lambda sides, epochs=epochs: epochs * epoch_s) for epochs in (20, 40)]
    assert [grows_in(budget, facts, rung, (64, 64)) for budget in budgets] == [True, False]
    fitting = [epochs_in(budget, facts, rung, (64, 64), may_grow=True) for budget in budgets]
    assert fitting == pytest.approx([20 / GROWTH_COST, 40])


def test_more_time_gives_finer_maps() -> None:
    facts = facts_of(2_000, 64)
    rungs = with_finer_maps(LADDER, facts, (64, 64))
    assert [(rung.recipe, rung.stem) for rung in rungs] == [
        ("sprint", ""),
        ("sprint-long", ""),
        ("sprint", "w2"),
        ("thumb-200k", ""),
        ("sprint-long", "w2"),
        ("thumb-200k", "w2"),
    ]
    finer = rungs[2]
    assert not finer.grows
    assert size_cost("sprint", (64, 64), stem="w2") / size_cost("sprint", (64, 64)) == pytest.approx(4, rel=0.1)
    for minutes, stem in ((0.5, ""), (1, ""), (10, "w2")):
        rung, refused = choose_rung(facts, budget_of(minutes), rungs, (64, 64), may_grow=True)
        assert (rung.recipe, rung.stem) == ("sprint", stem)
        assert rung is finer or any(each.stem == "w2" and "of the 25 epochs" in each.against for each in refused)
    assert with_finer_maps(LADDER, facts, (32, 32)) == LADDER  # the finest there is
    assert {rung.stem for rung in with_finer_maps(LADDER, facts_of(2_000, 160), (160, 160))} == {"", "w4s2"}
    assert with_finer_maps(LADDER, facts_of(2_000, 300), (96, 96)) == LADDER  # of pictures that were reduced


@pytest.mark.parametrize(
    ("model", "side", "stem"),
    [
        ("sprint", 56, None),
        ("sprint", 57, "w2"),
        ("sprint", 160, "w4s2"),
        ("sprint", 224, "w8s4"),  # whose maps have 1.7 times the side; those of w4s2 3.5 times
        ("thumb-20k", 96, "w2"),
        ("thumb-20k", 224, None),  # its usual maps go through a block more
        ("resnet8", 96, None),
    ],
)
def test_the_finer_stem_is_nearest_to_twice_the_side(model: str, side: int, stem: str | None) -> None:
    assert finer_stem(model, (side, side)) == stem


def test_pictures_that_are_framed_whole_are_reduced_by_their_longer_side() -> None:
    facts = replace(facts_of(2_000), sides=(64, 200))
    assert facts.keep_detail((64, 64))
    assert not replace(facts, fit="letterbox").keep_detail((64, 64))
    assert replace(facts, fit="letterbox").keep_detail((64, 200))


def test_the_next_larger_size_is_refused_with_a_reason() -> None:
    facts = facts_of(1_000, 500)
    assert against_larger(facts, 10, LADDER, 96) == ((128, 128), "images of this size are for 20 minutes and more")
    assert against_larger(facts, 100, LADDER, 160) == ((224, 224), "images of this size are for 240 minutes and more")
    assert against_larger(facts, 20, LADDER, 96) == ((128, 128), "the pictures would take too much memory")
    assert against_larger(facts, 300, LADDER, 224) is None
    assert against_larger(facts_of(1_000, 100), 10, LADDER, 96) is None  # they show no more
    small = (replace(OTHER, max_side=49),)
    assert against_larger(facts, 10, small, 48) == ((64, 64), "the model takes no images of this size")


def test_the_cost_of_224_pixels_is_what_was_measured() -> None:
    """benchmarks/results/large-images_*: 0.59 of the images a second of 32 pixels, on each kind of processor."""
    all_kept = list((ROOT / "benchmarks" / "results").glob("large-images_*.json"))
    assert all_kept
    for kept in all_kept:
        rows = json.loads(kept.read_text())["rows"]
        taken_s = {row["side"]: row["image_s"] for row in rows if row["model"] == "sprint"}
        assert size_cost("sprint", (224, 224)) == pytest.approx(taken_s[224] / taken_s[32], rel=0.1)


def test_few_images_need_more_epochs_and_may_get_them() -> None:
    long = LADDER[1]
    assert epochs_needed(long, 45_000) == long.min_epochs
    assert epochs_needed(long, 1_770) == -(-long.min_steps * 128 // 1_770)
    assert epochs_needed(long, 375) == 512 > MAX_EPOCHS  # of 32 images a step: never
    assert most_steps(8) == 8 * MAX_EPOCHS
    assert most_steps(1) == MAX_STEPS_OF_FEW


def test_pictures_are_not_enlarged_and_the_memory_holds_them() -> None:
    assert sizes_of(facts_of(1000, 90), 100, 2**40) == [32, 48, 64, 96]
    assert sizes_of(facts_of(1000, 80), 100, 2**40) == [32, 48, 64]
    assert sizes_of(facts_of(1000, 8), 100, 2**40) == [32]
    assert sizes_of(facts_of(1000, 500), 1, 2 * 1300 * 3 * 64**2) == [32, 48, 64]
    assert sizes_of(facts_of(1000, 500), 1000, 2**40)[-1] == LARGEST_SIZE[-1][1]


def test_pictures_that_are_framed_whole_are_not_enlarged_by_their_longer_side() -> None:
    cut = replace(facts_of(1_000), sides=(50, 120))
    framed = replace(cut, fit="letterbox")
    assert sizes_of(cut, 100, 2**40) == [32, 48]
    assert sizes_of(framed, 100, 2**40) == [32, 48, 64, 96, 128]  # of 128 pixels they fill 53 rows
    assert against_larger(cut, 10, LADDER, 48) is None
    assert against_larger(framed, 10, LADDER, 96) == ((128, 128), "images of this size are for 20 minutes and more")
    assert against_larger(framed, 100, LADDER, 128) is None


def test_a_model_that_is_given_is_kept() -> None:
    models = {rung.recipe: load_recipe(rung.recipe).model for rung in LADDER}
    assert rungs_of(None, models, OTHER) == LADDER
    assert [rung.recipe for rung in rungs_of("thumb-200k", models, OTHER)] == ["thumb-200k"]
    assert rungs_of("resnet8", models, OTHER) == (OTHER,)
    alone = rungs_of("thumb-200k", models, OTHER)
    assert choose_rung(facts_of(50), budget_of(0.5), alone, (32, 32), may_grow=True)[0].recipe == "thumb-200k"


def test_what_is_against_the_others_is_told_in_numbers() -> None:
    facts, budget = facts_of(45_000), budget_of(10)
    rung, refused = choose_rung(facts, budget, LADDER, (32, 32), may_grow=True)
    assert rung.recipe == "sprint-long"
    (candidate,) = refused
    assert candidate.recipe == "thumb-200k"
    assert candidate.against == f"it would get {candidate.epochs:.0f} of the 100 epochs that it needs"
    _, refused = choose_rung(facts_of(2000), budget_of(100), LADDER, (32, 32), may_grow=True)
    assert refused[0].against == "it needs 10,000 training images"


@pytest.mark.parametrize(("num_train", "batch"), [(60_000, 512), (19_999, 128), (1024, 128), (600, 64), (30, 32)])
def test_batches_leave_steps_enough(num_train: int, batch: int) -> None:
    assert batch_of(LADDER[0], num_train) == batch
    assert batch_of(LADDER[1], num_train) == min(128, batch)


def test_a_rate_goes_with_the_root_of_the_batch() -> None:
    assert rate_of(0.2, 128, recipe_batch=512) == pytest.approx(0.1)


def test_the_end_takes_longer_with_more_test_images_and_with_pictures() -> None:
    def seconds(num_test: int, *, pictures: bool) -> float:
        return end_s(
            minutes=10, num_train=900, num_test=num_test, eval_image_s=1e-3, image_s=IMAGE_S, pictures=pictures
        )

    drawn_s = 9_000 * REPORT_IMAGE_S * IMAGE_S / REFERENCE_IMAGE_S
    assert seconds(10_000, pictures=False) - seconds(1_000, pictures=False) == pytest.approx(9.0)
    assert seconds(10_000, pictures=True) - seconds(1_000, pictures=True) == pytest.approx(9.0 + drawn_s)
    assert seconds(1_000, pictures=True) > seconds(1_000, pictures=False) + 1


def test_accuracy_under_corruptions_takes_longer_for_larger_images_and_no_more_than_500_of_them() -> None:
    def seconds(side: int, num_test: int) -> float:
        return robustness_s(sides=(side, side), num_test=num_test, eval_image_s=1e-3, image_s=IMAGE_S)

    assert seconds(64, 400) > seconds(32, 400) > 10
    assert seconds(32, 500) == seconds(32, 5000)


def test_the_decision_holds_the_table_of_the_rule() -> None:
    text = (ROOT / "docs" / "decisions" / "0032-minutes.md").read_text()
    pattern = r"^\| `([\w-]+)` \| ([\d.]+) \| (\d+) \| ([\d,]+) \| ([\d,]+) \| (yes|no) \|"
    rows = re.findall(pattern, text, re.MULTILINE)
    assert [
        Rung(name, float(cost), int(epochs), _whole(steps), _whole(images), grows == "yes")
        for name, cost, epochs, steps, images, grows in rows
    ] == list(LADDER)
    assert f"Sizes: {', '.join(map(str, SIZES))} pixels" in text


@pytest.mark.parametrize(
    "page", ["decisions/0032-minutes.md", "guides/recipes.md", "guides/report.md", "guides/run-folder.md"]
)
def test_pages_tell_when_the_report_goes_without_accuracy_under_corruptions(page: str) -> None:
    text = " ".join((ROOT / "docs" / page).read_text().split())
    (sentence,) = [each for each in re.split(r"[|;.] ", text) if f"more than {100 * ROBUSTNESS_SHARE:g} %" in each]
    assert "minutes" in sentence
    assert all(f"`{name}:`" in text for name in PICTURE_SOURCES)


def test_accuracy_under_corruptions_is_left_out_where_it_takes_a_tenth_of_the_minutes_and_was_not_asked_for() -> None:
    facts = facts_of(900)
    seconds = robustness_s(sides=(32, 32), num_test=facts.num_test, eval_image_s=1e-3, image_s=IMAGE_S)

    def kept_s(minutes: float, wanted: bool | Literal["auto"], *, pictures: bool = True) -> float:
        times = Times(0.0, minutes, IMAGE_S, pictures, lambda: 0.0, wanted)
        kept = times.robustness_s(facts, 1e-3, (32, 32))
        assert times.goes_without_robustness(facts, 1e-3, (32, 32)) == (pictures and wanted == "auto" and not kept)
        return kept

    short, long = (share * seconds / (60 * ROBUSTNESS_SHARE) for share in (0.99, 1.01))
    assert [kept_s(minutes, "auto") for minutes in (short, long)] == [0, seconds]
    assert [kept_s(minutes, True) for minutes in (short, long)] == [seconds, seconds]
    assert [kept_s(long, False), kept_s(long, "auto", pictures=False)] == [0, 0]


def _whole(text: str) -> int:
    return int(text.replace(",", ""))
