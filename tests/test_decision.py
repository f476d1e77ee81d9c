"""A threshold kept with a model: what it answers, what a card refuses, and that all verbs obey it."""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from small_runs import small_config, write_small_data
from thumbnet.cli import main
from thumbnet.cli.training_output import metrics_over_classes
from thumbnet.errors import RunError
from thumbnet.evaluation.calibration import at_temperature
from thumbnet.evaluation.metrics import summarise_predictions
from thumbnet.evaluation.predictions import Predictions
from thumbnet.models.card import card_from_dict, card_to_dict
from thumbnet.models.decision import Decision, chosen_classes, margin_of, ranked_classes, threshold_of
from thumbnet.runs.comparison.runs import compare_runs
from thumbnet.runs.evaluate import evaluate_trained
from thumbnet.runs.predict import predict
from thumbnet.runs.run import Run, RunDir
from thumbnet.runs.train import train
from thumbnet.runs.write_report import write_report


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run whose threshold is far from one half."""
    folder = tmp_path_factory.mktemp("decided")
    data = write_small_data(folder / "data.npz")
    config = small_config(data, threshold=0.97, positive="1", val_fraction=0.25)
    return train(config, run_dir=folder / "run", log_style="silent", pictures=False)


def decision_of(margin: float, positive: int = 1) -> Decision:
    return Decision(positive=positive, threshold=threshold_of(margin), margin=margin, rule="given")


@pytest.mark.parametrize("positive", [0, 1])
@pytest.mark.parametrize("margin", [-2.0, 0.0, 3.5])
def test_the_margin_decides(margin: float, positive: int) -> None:
    logits = np.random.default_rng(0).normal(size=(50, 2), scale=3).astype(np.float32)
    logits[0] = (0, margin) if positive == 1 else (margin, 0)  # exactly on it
    chosen = chosen_classes(decision_of(margin, positive), logits)
    exact = logits.astype(np.float64)
    expected = [positive if row[positive] - row[1 - positive] >= margin else 1 - positive for row in exact]
    assert chosen.tolist() == expected
    assert chosen[0] == positive
    probabilities = np.exp(exact) / np.exp(exact).sum(axis=1, keepdims=True)
    ranked = ranked_classes(decision_of(margin, positive), logits, probabilities)
    assert ranked[:, 0].tolist() == expected
    assert ranked.sum(axis=1).tolist() == [1] * 50
    assert ranked_classes(None, logits, probabilities)[:, 0].tolist() == logits.argmax(axis=1).tolist()


def test_thresholds_and_margins_are_one_another() -> None:
    for threshold in (1e-9, 0.2, 0.5, 0.97):
        assert threshold_of(margin_of(threshold)) == pytest.approx(threshold)
    assert (threshold_of(900), threshold_of(-900)) == (1.0, 0.0)


def test_a_temperature_moves_no_answer() -> None:
    logits, labels = torch.tensor([[0.0, 1.0], [0.0, 3.0], [1.0, 0.0]]), torch.tensor([0, 1, 0])
    decided = Predictions(logits, labels).decided_by(decision_of(2.0))
    softer = at_temperature(decided, 10.0)
    assert decided.predicted.tolist() == softer.predicted.tolist() == [0, 1, 0]
    assert float(decided.confidence[0]) == pytest.approx(1 - threshold_of(1.0))
    assert summarise_predictions(decided, split="test", decision=decision_of(2.0)).accuracy == 1


def test_a_card_keeps_it_in_a_later_format(run: Run) -> None:
    values = json.loads((run.path / "model.json").read_text())
    assert values["format"] == 3
    assert values["decision"]["margin"] == run.card.decision.margin == margin_of(0.97)
    assert card_from_dict(values, name="model.json") == run.card
    plain = card_to_dict(replace(run.card, decision=None))
    assert plain["format"] == 2
    assert "decision" not in plain


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"positive": 2}, "the threshold's class is 2"),
        ({"positive": -1}, "the threshold's class is -1"),
        ({"threshold": 1.5}, r"threshold is 1\.5, but margin is"),
        ({"threshold": 0.4}, r"threshold is 0\.4, but margin is"),
        ({"margin": math.inf}, "decision is"),
        ({"margin": 1e20, "threshold": 1.0}, r"the threshold's margin is 1e\+20"),
        ({"num_images": 5, "num_positives": 6}, "picked on 6 of 5 images"),
        ({"measured": {"recall": math.nan}}, "decision is"),
        ({"margin": "much"}, "decision is"),
    ],
)
def test_what_cannot_be_is_damage(run: Run, change: dict[str, Any], told: str) -> None:
    values = card_to_dict(run.card)
    values["decision"] = {**values["decision"], **change}
    with pytest.raises(RunError, match=told):
        card_from_dict(values, name="model.json")


def test_a_threshold_for_three_classes_is_damage(run: Run) -> None:
    values = {**card_to_dict(run.card), "class_names": ["a", "b", "c"]}
    with pytest.raises(RunError, match="a threshold for 3 classes"):
        card_from_dict(values, name="model.json")


def test_the_run_is_scored_as_it_answers(run: Run) -> None:
    dataset = run.load_dataset()
    stored = RunDir(run.path).read_predictions()
    assert stored.probabilities is not None
    expected = (stored.probabilities[:, 1] >= 0.97).long()
    assert stored.predicted.tolist() == expected.tolist()
    assert stored.predicted.tolist() != stored.probabilities.argmax(dim=1).tolist()
    accuracy = float((expected == dataset.test.labels).double().mean())
    assert run.metrics["test_accuracy"] == pytest.approx(accuracy)
    assert (run.metrics["positive"], run.metrics["threshold_rule"]) == ("1", "given")
    assert run.metrics["threshold"] == pytest.approx(0.97)
    evaluation = evaluate_trained(run)
    assert evaluation.analysis.evaluation.accuracy == pytest.approx(accuracy)
    values = evaluation.to_dict()
    assert values["operating_point"]["recall"] == pytest.approx(  # type: ignore[index]
        float((expected * dataset.test.labels).sum() / dataset.test.labels.sum())
    )
    assert "answered '1' from a probability of 0.97 on, as given: recall" in str(evaluation)
    assert evaluate_trained(run, tta=True).tta_accuracy is not None


def test_other_data_is_scored_on_the_same_class(run: Run, tmp_path: Path) -> None:
    data = write_small_data(tmp_path / "other.npz", seed=1)
    arrays = dict(np.load(data))
    kept = (arrays["labels"] == 1) | (np.arange(40) < 24)
    np.savez(data, images=arrays["images"][kept], labels=arrays["labels"][kept])
    plain = replace(run, card=replace(run.card, decision=None))
    evaluation = evaluate_trained(plain, f"npz:{data}", split="all")
    assert int((evaluation.dataset.train.labels == 0).sum()) == 12  # of 32: the rarer one here
    assert evaluation.to_dict()["positive"] == run.metrics["positive"] == "1"


def test_training_ends_with_more_than_the_accuracy(run: Run) -> None:
    metrics = run.metrics
    overall, area, threshold = metrics_over_classes(metrics)
    balanced, f1, auc, precision = (
        metrics[f"test_{name}_interval"] for name in ("balanced_accuracy", "macro_f1", "auc", "average_precision")
    )
    assert overall.startswith(
        f"balanced accuracy {metrics['test_balanced_accuracy']:.2%} [{balanced[0]:.1%}, {balanced[1]:.1%}], "
        f"macro F1 {metrics['test_macro_f1']:.2%} [{f1[0]:.1%}, {f1[1]:.1%}]; "
    )
    assert overall.endswith(f"; always {metrics['commonest_class']!r} has accuracy {metrics['commonest_share']:.2%}")
    assert area == (
        f"'1' against the other class: area under ROC {metrics['test_auc']:.3f} [{auc[0]:.3f}, {auc[1]:.3f}], "
        f"average precision {metrics['test_average_precision']:.3f} [{precision[0]:.3f}, {precision[1]:.3f}]"
    )
    assert threshold == "'1' is answered from a probability of 0.97 on (given)"
    assert metrics_over_classes({"test_accuracy": 0.5}) == []  # of a run from before they were kept
    bare = {name: value for name, value in metrics.items() if not name.endswith("_interval")}  # before intervals were
    assert f"area under ROC {metrics['test_auc']:.3f}, average precision" in metrics_over_classes(bare)[1]


def test_pictures_get_the_answer_first(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dataset, stored = run.load_dataset(), RunDir(run.path).read_predictions()
    assert stored.probabilities is not None
    differing = (stored.predicted != stored.probabilities.argmax(dim=1)).nonzero().flatten()[:1]
    assert len(differing)
    index = int(differing[0])
    path = tmp_path / "picture.png"
    Image.fromarray(dataset.test.images[index, 0].numpy()).save(path)
    for source in (run, run.path):
        (said,) = predict(source, [path])
        assert said.class_name == run.card.class_names[int(stored.predicted[index])] == "0"
        assert said.probability == pytest.approx(float(stored.confidence[index]), abs=1e-5)
        assert [guess.class_name for guess in said.top] == ["0", "1"]
        assert said.top[0].probability < said.top[1].probability
    for top in ("1", "3"):
        assert main(["predict", str(path), "--run", str(run.path), "--top", top]) == 0
        assert "by the model's threshold" in capsys.readouterr().out


def test_compare_and_report_obey(run: Run, tmp_path: Path) -> None:
    other = shutil.copytree(run.path, tmp_path / "other")
    comparison = compare_runs([run.path, other])
    area = comparison.comparisons[0].area
    assert area is not None
    assert (area.difference, area.interval, area.p_value) == (0, (0, 0), 1)
    assert "area under ROC: +0.0000 (95% interval +0.0000 to +0.0000, DeLong), p = 1" in str(comparison)
    assert json.loads(json.dumps(comparison.to_dict()))["comparisons"][0]["area"]["difference"] == 0
    assert comparison.metrics[0].accuracy == pytest.approx(run.metrics["test_accuracy"])
    text = write_report(run.path, tmp_path / "report.html").read_text()
    assert f"{run.metrics['test_accuracy']:.2%}" in text or f"{100 * float(run.metrics['test_accuracy']):.2f}" in text  # type: ignore[arg-type]
