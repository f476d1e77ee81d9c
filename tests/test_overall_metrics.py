"""Metrics that unequal classes do not flatter: against scikit-learn, with intervals that hold what they promise."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from sklearn.metrics import confusion_matrix, f1_score, matthews_corrcoef, recall_score

from thumbnet.evaluation.analysis import analyse
from thumbnet.evaluation.intervals import balanced_accuracy_interval
from thumbnet.evaluation.metrics import card_metrics, summarise_predictions
from thumbnet.evaluation.overall import overall_intervals, overall_metrics
from thumbnet.evaluation.predictions import Predictions


def random_answers(num_classes: int, shares: list[float], *, seed: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    labels = generator.choice(num_classes, size=200, p=shares)
    guesses = generator.integers(num_classes, size=200)
    return labels, np.where(generator.random(200) < 0.6, labels, guesses)


@pytest.mark.parametrize(
    ("num_classes", "shares"),
    [(2, [0.9, 0.1]), (3, [0.2, 0.5, 0.3]), (4, [0.5, 0.5, 0.0, 0.0]), (3, [0.0, 1.0, 0.0])],
)
def test_metrics_agree_with_scikit_learn(num_classes: int, shares: list[float]) -> None:
    labels, predicted = random_answers(num_classes, shares, seed=num_classes)
    confusion = confusion_matrix(labels, predicted, labels=range(num_classes)).astype(np.int64)
    metrics = overall_metrics(confusion, [f"class {index}" for index in range(num_classes)])
    present = sorted(set(labels.tolist()))
    assert metrics.balanced_accuracy == pytest.approx(recall_score(labels, predicted, labels=present, average="macro"))
    assert metrics.macro_f1 == pytest.approx(f1_score(labels, predicted, average="macro", zero_division=0))
    assert metrics.mcc == pytest.approx(matthews_corrcoef(labels, predicted))
    commonest = int(np.bincount(labels).argmax())
    assert metrics.commonest_class == f"class {commonest}"
    assert metrics.commonest_share == pytest.approx(np.mean(labels == commonest))


def test_always_the_commonest_class_has_no_merit() -> None:
    metrics = overall_metrics(np.array([[90, 0], [10, 0]], np.int64), ["good", "bad"])
    assert metrics == overall_metrics(np.array([[90, 0], [10, 0]], np.int64), ["good", "bad"])
    assert (metrics.balanced_accuracy, metrics.mcc) == (0.5, 0.0)
    assert (metrics.commonest_class, metrics.commonest_share) == ("good", 0.9)


def test_intervals_hold_the_truth_about_as_often_as_they_promise() -> None:
    """The coverage of 100 simulations; the bootstrap's is a little low on 60 images a class, as is known."""
    generator = np.random.default_rng(0)
    truth = np.array([[0.9, 0.1, 0.0], [0.3, 0.6, 0.1], [0.1, 0.2, 0.7]])
    of_truth = overall_metrics((truth * [[300], [60], [60]]).round().astype(np.int64), "abc")
    held = np.zeros(3)
    for _ in range(100):
        drawn = generator.multinomial([300, 60, 60], truth)
        found = overall_intervals(drawn)
        for index, name in enumerate(("balanced_accuracy", "macro_f1", "mcc")):
            low, high = getattr(found, name)
            held[index] += low <= getattr(of_truth, name) <= high
    assert np.all(held >= 88)
    assert np.all(held <= 99)


def test_intervals_of_answers_that_are_all_alike_are_not_empty() -> None:
    for confusion in ([[2, 0], [4, 0]], [[5, 0], [0, 5]], [[9, 0, 0], [0, 8, 0], [0, 0, 0]]):
        metrics = overall_metrics(np.array(confusion, np.int64), "abc"[: len(confusion)])
        found = overall_intervals(np.array(confusion, np.int64))
        for name in ("balanced_accuracy", "macro_f1", "mcc"):
            low, high = getattr(found, name)
            assert low <= getattr(metrics, name) <= high
            assert high - low > 0.1
    assert found.macro_f1[0] > 0.6  # of two classes: the third has no images, and is never answered


def test_an_interval_of_right_answers_alone_is_not_empty() -> None:
    low, high = balanced_accuracy_interval([(20, 20), (5, 5)])
    assert (round(low, 2), high) == (0.77, 1.0)
    assert balanced_accuracy_interval([(0, 20), (0, 5)])[0] == 0.0


def test_two_classes_have_areas_and_more_have_none() -> None:
    generator = torch.Generator().manual_seed(0)
    labels = (torch.rand(300, generator=generator) < 0.2).long()
    logits = torch.randn(300, 2, generator=generator)
    logits[:, 1] += labels
    analysis = analyse(summarise_predictions(Predictions(logits, labels), split="test"), ("good", "bad"))
    assert analysis.binary is not None
    assert analysis.binary.curves.positive == 1
    values = json.loads(json.dumps(analysis.to_dict()))
    low, high = values["auc_interval"]
    assert low < values["auc"] < high
    assert values["average_precision_interval"][0] < values["average_precision"]
    assert (values["positive"], values["commonest_class"]) == ("bad", "good")
    assert (
        values["balanced_accuracy_interval"][0] < values["balanced_accuracy"] < values["balanced_accuracy_interval"][1]
    )
    text = str(analysis)
    assert f"(always 'good': {analysis.overall.commonest_share:.2%})" in text
    assert f"balanced accuracy {analysis.overall.balanced_accuracy:.2%} (95% interval " in text
    assert f"'bad' against the other class: area under ROC {values['auc']:.4f} ({low:.4f} to {high:.4f})" in text
    assert "top-2" not in text
    assert card_metrics(analysis.evaluation, ("good", "bad"))["test_auc"] == values["auc"]

    three = summarise_predictions(Predictions(torch.randn(60, 3, generator=generator), labels[:60]), split="test")
    more = analyse(three, ("good", "bad", "odd"))
    assert more.binary is None
    assert "auc" not in more.to_dict()
    assert "top-2 accuracy" in str(more)
    assert "test_auc" not in card_metrics(three, ("good", "bad", "odd"))
