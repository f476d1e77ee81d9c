"""benchmarks/tune_minutes.py: numbers of the rule are changed for a while, compared in pairs, and taken by a rule."""

from __future__ import annotations

import json
import runpy
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image

from thumbnet.recipes import PLANNED_RECIPE, load_recipe
from thumbnet.runs.choices import augmentation as augmentation_choice
from thumbnet.runs.choices import augmentation_probe
from thumbnet.runs.planning import apply, choose, constants, ladder
from thumbnet.runs.planning.facts import Look, look_at_folder
from thumbnet.specs.policies import POLICIES

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


@pytest.fixture(scope="module")
def tune() -> Iterator[Any]:
    sys.path.insert(0, str(BENCHMARKS))
    try:
        import tune_minutes
        import tuning.candidates
        import tuning.changed
        import tuning.choice
        import tuning.trainings

        yield SimpleNamespace(
            script=tune_minutes,
            candidates=tuning.candidates,
            changed=tuning.changed.changed,
            choice=tuning.choice,
            trainings=tuning.trainings,
        )
    finally:
        sys.path.remove(str(BENCHMARKS))


def test_numbers_are_others_for_a_while_wherever_the_rule_has_them(tune: Any) -> None:
    before = constants.LADDER
    with tune.changed({"sprint-long.min_steps": 7, "MIN_BATCH": 128, "STRENGTHS": ()}):
        for module in (constants, ladder, apply, augmentation_probe, tune.trainings):
            assert [rung.min_steps for rung in module.LADDER] == [0, 7, 0]
        assert ladder.batch_of(before[1], 30) == 128
        assert augmentation_choice.STRENGTHS == ()
    assert ladder.LADDER is constants.LADDER is before
    assert ladder.batch_of(before[1], 30) == 32
    assert augmentation_choice.STRENGTHS
    with pytest.raises(SystemExit, match="MAX_EPOCH is no number of the rule"), tune.changed({"MAX_EPOCH": 1}):
        pass


def test_every_variant_changes_numbers_that_there_are(tune: Any) -> None:
    num_variants = 0
    for comparison in (*tune.candidates.COMPARISONS, *tune.candidates.LARGE, tune.candidates.START):
        for changes in comparison.variants.values():
            num_variants += 1
            settings = changes.get(tune.candidates.SETTINGS, [])
            config = load_recipe(PLANNED_RECIPE, settings=settings)
            with tune.changed(changes):
                (rung, *_) = apply.candidate_rungs(config)
                assert rung.recipe == "sprint"
                for _, names in augmentation_choice.STRENGTHS:
                    assert set(names) <= set(POLICIES)
    header = tune.script.__doc__
    assert f"{num_variants - 3} variants of eleven factors" in " ".join(header.split())
    assert len(tune.candidates.COMPARISONS) == 11


def test_a_variant_is_taken_by_its_gain_over_the_sets(tune: Any) -> None:
    choice = tune.choice

    def of(*accuracies: float) -> list[dict[str, float]]:
        return [{"accuracy": accuracy, "loss": 1 - accuracy} for accuracy in accuracies]

    before = of(0.5, 0.6, 0.7)
    surely, perhaps, same = (
        choice.gain(before, of(*after)) for after in ((0.52, 0.63, 0.72), (0.6, 0.55, 0.66), (0.5, 0.6, 0.7))
    )
    assert (surely.mean, surely.error, surely.num_changed) == (pytest.approx(7 / 300), pytest.approx(1 / 300), 3)
    assert surely.loss == pytest.approx(-7 / 300)
    assert [each.is_certain for each in (surely, perhaps, same)] == [True, False, False]
    assert choice.best({"a": perhaps, "b": surely, "c": same}) == "b"
    assert choice.best({"a": perhaps, "c": same}) is None
    assert choice.gain(before[:1], of(0.9)).is_certain is False  # of one pair nothing is known
    assert choice.describe("it", surely) == "| it | 3 of 3 | +2.33 ± 0.33 | -0.0233 |"


def test_a_plan_is_by_a_nominal_speed_and_by_the_tune_side(
    tune: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(60):
        file = tmp_path / "tune" / ("train" if number % 3 else "test") / "ab"[number % 2] / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (40, 40), number).save(file)
    made_set = SimpleNamespace(side=lambda purpose: tmp_path / purpose)
    slow = Look(
        look_at_folder(load_recipe(PLANNED_RECIPE, options={"data": f"folder:{tmp_path / 'tune'}"})).facts, 1e6, 10
    )
    monkeypatch.setattr(choose, "look_at_folder", lambda config: slow)  # as on a machine that is busy
    key = tune.trainings.Key("digits", 0.5, 0, {})
    planned = tune.trainings.planned_for(key, made_set)
    assert planned.record.image_s == constants.REFERENCE_IMAGE_S
    assert planned.record.planned_s == tune.trainings.STARTED_S
    assert planned.config.inputs.flip is False  # digits
    digest = tune.trainings.digest_of(key, planned)
    again = tune.trainings.planned_for(tune.trainings.Key("digits", 0.5, 0, {"UNEQUAL_FROM": 9.0}), made_set)
    assert tune.trainings.digest_of(key, again) == digest  # another rule that plans the same
    short = tune.trainings.planned_for(tune.trainings.Key("digits", 0.5, 0, {"MAX_STEPS_OF_FEW": 30}), made_set)
    assert tune.trainings.digest_of(key, short) != digest


@pytest.fixture
def sequence(tune: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, list[Any]]:
    """The script with two comparisons and made-up results; the plans and trainings that it asked for."""
    asked: dict[str, list[Any]] = {"plans": [], "trainings": []}

    def planned_for(key: Any, made_set: Any) -> Any:
        asked["plans"].append((key.set_name, key.minutes, dict(key.changes)))
        return SimpleNamespace(key=key)

    def score_of(planned: Any, made_set: Any) -> dict[str, Any]:
        key = planned.key
        asked["trainings"].append((key.set_name, key.minutes, dict(key.changes)))
        accuracy = 0.5 + 0.02 * key.minutes + 0.1 * key.changes.get("a", 0) - 0.1 * key.changes.get("b", 0)
        return {"accuracy": accuracy + 0.01 * (key.set_name == "digits") * len(key.changes), "loss": 1 - accuracy}

    def digest_of(key: Any, planned: Any) -> str:
        return json.dumps([key.set_name, key.minutes, sorted(each for each in key.changes if each != "same")])

    plan = {"recipe": "sprint", "sides": [32, 32], "epochs": 3, "batch_size": 32, "augmentation": "none"}
    for name, value in (("planned_for", planned_for), ("score_of", score_of), ("digest_of", digest_of)):
        monkeypatch.setattr(tune.trainings, name, value)
    monkeypatch.setattr(tune.trainings, "plan_of", lambda planned: plan)
    monkeypatch.setattr(tune.script, "made", lambda name, place: None)
    kind = tune.candidates.Comparison
    first = kind("first", "why", {"better": {"a": 1}, "the same": {"same": 1}})
    monkeypatch.setattr(tune.script, "COMPARISONS", [first, kind("second", "why", {"worse": {"b": 1}})])
    return asked


def test_what_was_found_is_the_base_of_what_follows_and_nothing_is_trained_twice(
    tune: Any,
    sequence: Mapping[str, list[Any]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def run(*options: str) -> str:
        place = ["--keep", str(tmp_path), "--data-dir", str(tmp_path), "--sets", "digits", "gauges", "--more", "0.5"]
        monkeypatch.setattr(sys, "argv", ["tune_minutes.py", *place, *options])
        tune.script.main()
        return capsys.readouterr().out

    assert "this is not trained yet. Until now: as it was." in run("--table")
    assert "stopped after 1e-09 minutes: the same command goes on" in run("--stop-after", "1e-9")
    said = run()
    assert "Taken: better." in said
    assert "| the same | 0 of 2 | +0.00 ± 0.00 | +0.0000 |" in said
    assert "Taken: as it was." in said
    assert "Found: {'a': 1}." in said
    assert ("gauges", 1.0, {"a": 1, "b": 1}) in sequence["trainings"]  # the second on top of what was taken
    assert len(sequence["trainings"]) == 2 * (1 + 1 + 1 + 2)  # the base, two variants, and half a minute of both
    assert len(sequence["plans"]) == 2 * (1 + 2 + 1 + 2)
    assert "| 0.5 | 51.00% |  |\n| 1 | 52.00% | +1.00 ± 0.00 |" in said
    assert run().split("min:")[0].count("digits") == 0
    assert len(sequence["trainings"]) == 10
    assert "Found: {'a': 1}." in run("--table")
    assert "| init = auto | 1 of 2 |" in run("--init")
    assert ("gauges", 0.5, {"a": 1, "settings": ["init=auto"]}) in sequence["trainings"]  # on top of what was found
    assert len(sequence["trainings"]) == 14


def test_the_script_says_what_it_does(
    tune: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["tune_minutes.py", "--help"])
    with pytest.raises(SystemExit) as helped:
        runpy.run_path(str(BENCHMARKS / "tune_minutes.py"), run_name="__main__")
    assert not helped.value.code
    assert "python benchmarks/tune_minutes.py --keep DIR" in capsys.readouterr().out
    assert len(tune.script.USUAL) == 9
    held_out = [name for name in tune.script.OPEN if name in ("letters", "stamps", "clipart")]
    assert not held_out
