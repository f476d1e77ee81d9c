"""Metrics by class, confused pairs, and the images worth a look."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn.metrics import classification_report, top_k_accuracy_score

from thumbnet.evaluation.class_intervals import class_intervals
from thumbnet.evaluation.classes import (
    ConfusedPair,
    confused_pairs,
    highest_losses,
    least_confident_correct,
    metrics_by_class,
    most_confident_wrong,
    top_accuracy,
)
from thumbnet.evaluation.predictions import Predictions

NAMES = ("a", "b", "c", "d")


def random_predictions(num_images: int, seed: int) -> Predictions:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(4, (num_images,), generator=generator)
    return Predictions(torch.randn(num_images, 4, generator=generator), labels)


@settings(deadline=None)
@given(st.integers(1, 60), st.integers(0, 999))
def test_metrics_by_class_equal_plain_counting(num_images: int, seed: int) -> None:
    predictions = random_predictions(num_images, seed)
    labels, predicted = predictions.labels.tolist(), predictions.predicted.tolist()
    for index, metrics in enumerate(metrics_by_class(predictions, NAMES)):
        both = sum(truth == guess == index for truth, guess in zip(labels, predicted, strict=True))
        called, there = predicted.count(index), labels.count(index)
        assert metrics.class_name == NAMES[index]
        assert metrics.num_images == there
        assert metrics.precision == pytest.approx(both / called if called else 0)
        assert metrics.recall == (pytest.approx(both / there) if there else None)
        assert metrics.f1 == (pytest.approx(2 * both / (called + there)) if there else None)


def test_metrics_and_top_accuracy_equal_scikit_learns() -> None:
    predictions = random_predictions(500, 0)
    report = classification_report(
        predictions.labels, predictions.predicted, target_names=NAMES, output_dict=True, zero_division=0.0
    )
    for metrics in metrics_by_class(predictions, NAMES):
        theirs = report[metrics.class_name]
        assert (metrics.precision, metrics.recall, metrics.f1, metrics.num_images) == pytest.approx(
            (theirs["precision"], theirs["recall"], theirs["f1-score"], theirs["support"])
        )
    for k in (1, 2, 3):
        theirs = top_k_accuracy_score(predictions.labels, predictions.logits.numpy(), k=k)
        assert top_accuracy(predictions, k) == pytest.approx(theirs)
    assert top_accuracy(predictions, 9) == 1


def test_intervals_of_precision_and_recall_are_wilsons_and_that_of_f1_of_its_proportion() -> None:
    predictions = random_predictions(90, 1)
    labels, predicted = predictions.labels.tolist(), predictions.predicted.tolist()
    for index, metrics in enumerate(metrics_by_class(predictions, NAMES)):
        both = sum(truth == guess == index for truth, guess in zip(labels, predicted, strict=True))
        either = sum(index in pair for pair in zip(labels, predicted, strict=True))
        found = metrics.intervals
        for bounds, of in ((found.precision, predicted.count(index)), (found.recall, labels.count(index))):
            assert bounds == pytest.approx(tuple(binomtest(both, of).proportion_ci(method="wilson")))
        assert found.f1 is not None
        low, high = binomtest(both, either).proportion_ci(method="wilson")
        assert [bound / (2 - bound) for bound in found.f1] == pytest.approx([low, high])
        assert metrics.f1 is not None
        assert found.f1[0] < metrics.f1 < found.f1[1]


def test_what_no_image_tells_has_no_interval() -> None:
    never_answered, without_images = class_intervals(0, 0, 5), class_intervals(0, 3, 0)
    assert never_answered.precision is None
    assert never_answered.recall == pytest.approx((0.0, binomtest(0, 5).proportion_ci(method="wilson").high))
    assert never_answered.f1 is not None
    assert never_answered.f1[1] > 0.5
    assert without_images.precision is not None
    assert (without_images.recall, without_images.f1) == (None, None)


def test_the_interval_of_f1_holds_it_as_often_as_it_says() -> None:
    draw, num_there, num_others = np.random.default_rng(0), 40, 160
    expected = 2 * 0.8 * num_there / (num_there + 0.8 * num_there + 0.1 * num_others)
    hits = 0
    for found, wrong in zip(draw.binomial(num_there, 0.8, 1000), draw.binomial(num_others, 0.1, 1000), strict=True):
        bounds = class_intervals(int(found), int(found + wrong), num_there).f1
        assert bounds is not None
        hits += bounds[0] <= expected <= bounds[1]
    assert 0.93 <= hits / 1000 <= 0.99


def test_confused_pairs_come_most_frequent_first() -> None:
    confusion = np.array([[7, 2, 1], [0, 5, 0], [4, 0, 0]], dtype=np.int64)
    assert confused_pairs(confusion, "xyz") == (
        ConfusedPair("z", "x", 4, 1.0), ConfusedPair("x", "y", 2, 0.2), ConfusedPair("x", "z", 1, 0.1),
    )  # fmt: skip


def test_images_worth_a_look() -> None:
    logits = torch.tensor([[3.0, 0.0], [0.5, 0.0], [2.0, 0.0], [0.0, 0.1], [0.0, 1.0]])
    predictions = Predictions(logits, torch.tensor([0, 0, 1, 0, 1]))  # right, right, wrong, wrong, right
    assert highest_losses(predictions, 2).tolist() == [2, 3]
    assert least_confident_correct(predictions, 5).tolist() == [1, 4, 0]
    assert most_confident_wrong(predictions, 5).tolist() == [2, 3]
