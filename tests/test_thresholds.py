"""A threshold picked on validation: against brute force and simulation, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from small_runs import small_config, write_small_data
from thumbnet.cli import main
from thumbnet.config import TrainConfig, config_from_toml, config_to_toml
from thumbnet.data.dataset import Dataset, Split
from thumbnet.data.sources import load_dataset
from thumbnet.errors import ConfigError, DataError
from thumbnet.evaluation.binary import BinaryCurves, binary_curves, margins_of
from thumbnet.evaluation.predictions import Predictions
from thumbnet.evaluation.thresholds import margin_for_costs, margin_for_f1, margin_for_recall
from thumbnet.recipes import load_recipe
from thumbnet.runs.results.decide import check_decisions, decide
from thumbnet.specs.decisions import Decisions


def scored(num_images: int, *, seed: int = 0, share: float = 0.3) -> tuple[torch.Tensor, torch.Tensor]:
    generator = np.random.default_rng(seed)
    labels = (generator.random(num_images) < share).astype(np.int64)
    logits = generator.normal(size=(num_images, 2)).round(1)
    logits[:, 1] += 1.5 * labels
    return torch.tensor(logits, dtype=torch.float32), torch.tensor(labels)


def curves_of(logits: torch.Tensor, labels: torch.Tensor, positive: int = 1) -> BinaryCurves:
    curves = binary_curves(logits, labels, positive=positive)
    assert curves is not None
    return curves


def candidates(curves: BinaryCurves) -> list[float]:
    margins = curves.margins[1:]
    return [float(margins[0]) + 1, *((margins[1:] + margins[:-1]) / 2).tolist(), float(margins[-1]) - 1]


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_f1_and_costs_are_the_best_there_are(seed: int) -> None:
    curves = curves_of(*scored(120, seed=seed))
    best = max(curves.at_margin(each).f1 for each in candidates(curves))
    margin = margin_for_f1(curves)
    assert curves.at_margin(margin).f1 == best
    assert margin == max(each for each in candidates(curves) if curves.at_margin(each).f1 == best)
    assert margin not in curves.margins  # between two images
    for missed, false_alarm in ((5.0, 1.0), (1.0, 1.0), (1.0, 200.0), (200.0, 1.0)):
        costs = [curves.at_margin(each).cost(missed=missed, false_alarm=false_alarm) for each in candidates(curves)]
        found = curves.at_margin(margin_for_costs(curves, missed=missed, false_alarm=false_alarm))
        assert found.cost(missed=missed, false_alarm=false_alarm) == min(costs)


@pytest.mark.parametrize("recall", [0.8, 0.9])
@pytest.mark.parametrize("num_positives", [25, 60])
def test_a_recall_is_met_on_average(recall: float, num_positives: int) -> None:
    """On new images of three kinds of margins: normal, skewed, and of two hills."""
    generator = np.random.default_rng(0)

    def draw(kind: int, size: int) -> np.ndarray:
        if kind == 0:
            return generator.normal(size=size)
        if kind == 1:
            return -generator.gamma(2, size=size)
        return np.where(generator.random(size) < 0.8, generator.normal(4, 1.5, size), generator.normal(-1, 2, size))

    for kind in range(3):
        many, found = np.sort(draw(kind, 20_000)), []
        for _ in range(50):
            margins = np.concatenate([draw(kind, num_positives), generator.normal(-4, 2, 300)])
            logits = torch.tensor(np.stack([np.zeros_like(margins), margins], axis=1), dtype=torch.float32)
            labels = (torch.arange(len(margins)) < num_positives).long()
            margin = margin_for_recall(curves_of(logits, labels), recall)
            found.append(1 - np.searchsorted(many, margin) / len(many))
        assert abs(np.mean(found) - recall) < 0.03
        assert np.std(found) < 1.2 * np.sqrt(recall * (1 - recall) / num_positives)


def dataset_of(logits: torch.Tensor, labels: torch.Tensor, *, has_val: bool = True) -> Dataset:
    images = torch.zeros(len(labels), 1, 4, 4, dtype=torch.uint8)
    images[::2] = 9
    split = Split(images, labels)
    source = load_dataset("digits").source
    return Dataset(split, split if has_val else None, split, ("good", "bad"), (0.5,), (0.5,), True, source)


@pytest.fixture
def config(tmp_path: Path) -> TrainConfig:
    return small_config(write_small_data(tmp_path / "data.npz"))


@pytest.mark.parametrize("rule", [{"threshold": "f1"}, {"recall": 0.8}, {"costs": {"bad": 5}}, {"threshold": 0.3}])
def test_a_decision_says_how_it_was_picked(config: TrainConfig, rule: dict[str, Any]) -> None:
    logits, labels = scored(200)
    dataset, held_out = dataset_of(logits, labels), Predictions(logits, labels)
    chosen = config.replace(**rule)
    check_decisions(chosen, dataset)
    decision = decide(chosen, dataset, held_out)
    assert decision is not None
    expected = {"threshold": "f1", "recall": "recall 0.8", "costs": "costs"}
    name = next(iter(rule))
    assert decision.rule == ("given" if rule == {"threshold": 0.3} else expected[name])
    assert decision.positive == 1  # the rarer one
    assert (decision.num_images, decision.num_positives) == (200, int(labels.sum()))
    point = curves_of(logits, labels).at_margin(decision.margin)
    assert decision.measured["recall"] == point.recall
    assert decision.measured["recall_low"] < point.recall < decision.measured["recall_high"]
    if name == "recall":
        assert point.recall == pytest.approx(0.8, abs=0.05)
    permuted = Predictions(logits.flip(0), labels.flip(0))
    assert decide(chosen, dataset, permuted) == decision


def test_the_other_class_can_be_the_one_to_find(config: TrainConfig) -> None:
    logits, labels = scored(200)
    decision = decide(
        config.replace(recall=0.9, positive="good"), dataset_of(logits, labels), Predictions(logits, labels)
    )
    assert decision is not None
    assert decision.positive == 0
    found = margins_of(logits, positive=0)[labels.numpy() == 0] >= decision.margin
    assert found.mean() == pytest.approx(0.9, abs=0.05)
    costs = {"good": 10, "bad": 0.5}
    dear = decide(config.replace(costs=costs), dataset_of(logits, labels), Predictions(logits, labels))
    assert dear is not None
    assert dear.margin == margin_for_costs(curves_of(logits, labels), missed=0.5, false_alarm=10)


def test_a_given_threshold_needs_no_validation_images(config: TrainConfig) -> None:
    logits, labels = scored(60)
    chosen = config.replace(threshold=0.2)
    check_decisions(chosen, dataset_of(logits, labels, has_val=False))
    decision = decide(chosen, dataset_of(logits, labels, has_val=False), None)
    assert decision is not None
    assert (decision.num_images, decision.measured, decision.rule) == (0, {}, "given")
    assert decide(config, dataset_of(logits, labels), Predictions(logits, labels)) is None


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"threshold": 0.0}, r"threshold is 0\.0"),
        ({"threshold": 1.0}, r"threshold is 1\.0"),
        ({"recall": 1.0}, r"recall is 1\.0"),
        ({"recall": 0.0}, r"recall is 0\.0"),
        ({"threshold": "recall"}, "threshold is 'recall', but recall is not given"),
        ({"threshold": "costs"}, "threshold is 'costs', but costs is not given"),
        ({"threshold": "f1", "recall": 0.8}, "recall is given, but threshold is 'f1'"),
        ({"recall": 0.8, "costs": {"a": 2}}, "costs is given, but threshold is 'recall'"),
        ({"threshold": 0.4, "costs": {"a": 2}}, r"costs is given, but threshold is 0\.4"),
        ({"costs": {"a": 0}}, r"costs\.a is 0"),
        ({"costs": {"a": "much"}}, r"costs\.a is 'much'"),
        ({"positive": "a"}, "positive is 'a', but there is no threshold"),
    ],
)
def test_contradictions_are_refused(fields: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told) as caught:
        Decisions(**fields)
    assert caught.value.hint


def test_data_that_does_not_fit_is_refused_before_training(config: TrainConfig, tiny_dataset: Dataset) -> None:
    logits, labels = scored(100)
    dataset = dataset_of(logits, labels)
    with pytest.raises(ConfigError, match="threshold is 'f1', but there are 3 classes"):
        check_decisions(config.replace(threshold="f1"), tiny_dataset)
    with pytest.raises(ConfigError, match=r"threshold is 0\.3, but there are 3 classes"):
        check_decisions(config.replace(threshold=0.3), tiny_dataset)
    with pytest.raises(ConfigError, match="positive names 'worse', which is no class") as caught:
        check_decisions(config.replace(threshold="f1", positive="worse"), dataset)
    assert "good, bad" in caught.value.hint
    with pytest.raises(ConfigError, match="costs names 'worse', which is no class"):
        check_decisions(config.replace(costs={"worse": 2}), dataset)
    with pytest.raises(ConfigError, match="none are held out"):
        check_decisions(config.replace(recall=0.8), dataset_of(logits, labels, has_val=False))
    few = (torch.arange(100) < 9).long()
    with pytest.raises(DataError, match="class 'bad' has 9 validation images, and a threshold needs 10"):
        check_decisions(config.replace(recall=0.8), dataset_of(logits, few))


def test_options_and_settings_come_together(
    config: TrainConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    costly = config.replace(costs={"a.b": 2.0})
    assert config_from_toml(config_to_toml(costly), name="config.toml") == costly
    recipe = load_recipe("sprint", options={"recall": 0.8, "positive": "bad"})
    assert recipe.decisions == Decisions(threshold="recall", recall=0.8, positive="bad")
    assert load_recipe("sprint", settings=["costs.bad=5"]).decisions.costs == {"bad": 5}
    assert load_recipe("sprint", options={"threshold": "f1"}).decisions.threshold == "f1"
    recipe_file = tmp_path / "mine.toml"
    recipe_file.write_text(config_to_toml(config.replace(recall=0.9)))
    assert load_recipe(str(recipe_file), options={"recall": 0.5}).decisions == Decisions(recall=0.5)
    assert load_recipe(str(recipe_file), options={"threshold": "f1"}).decisions == Decisions(threshold="f1")
    for arguments, told in (
        (["train", "--threshold", "best"], "threshold is 'best'"),
        (["train", "--threshold", "2"], "threshold is 2.0"),
        (["find-lr", "--set", "costs.bad=2"], "costs is set, but has no effect here"),
        (["train", "--recall", "0.8", "--data", "digits"], "there are 10 classes"),
    ):
        assert main([*arguments, *(["--data", "digits"] if "--data" not in arguments else [])]) != 0
        assert told in capsys.readouterr().err
