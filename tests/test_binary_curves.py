"""Curves of two classes: against scikit-learn, brute force and simulation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score, precision_score, recall_score, roc_auc_score, roc_curve

from thumbnet.evaluation.binary import BinaryCurves, binary_curves, margins_of, rarer_class
from thumbnet.evaluation.binary_intervals import (
    auc_interval,
    average_precision_interval,
    paired_auc_difference,
    proportion_interval,
)


def scored(num_images: int, *, seed: int = 0, decimals: int = 6) -> tuple[torch.Tensor, torch.Tensor]:
    generator = np.random.default_rng(seed)
    labels = (generator.random(num_images) < 0.3).astype(np.int64)
    logits = generator.normal(size=(num_images, 2)).round(decimals)
    logits[:, 1] += labels
    return torch.tensor(logits, dtype=torch.float32), torch.tensor(labels)


def curves_of(logits: torch.Tensor, labels: torch.Tensor, positive: int = 1) -> BinaryCurves:
    curves = binary_curves(logits, labels, positive=positive)
    assert curves is not None
    return curves


@pytest.mark.parametrize("decimals", [6, 0], ids=["distinct", "tied"])
@pytest.mark.parametrize("positive", [0, 1])
def test_areas_and_points_agree_with_scikit_learn(positive: int, decimals: int) -> None:
    logits, labels = scored(300, decimals=decimals)
    curves = curves_of(logits, labels, positive)
    is_positive, margins = (labels == positive).numpy(), margins_of(logits, positive=positive)
    assert curves.auc == pytest.approx(roc_auc_score(is_positive, margins))
    assert curves.average_precision == pytest.approx(average_precision_score(is_positive, margins))
    false, true, _ = roc_curve(is_positive, margins, drop_intermediate=False)
    np.testing.assert_allclose(curves.num_true / curves.num_positives, true)
    np.testing.assert_allclose(curves.num_false / curves.num_negatives, false)
    assert curves.thresholds[0] == 1
    assert np.all(np.diff(curves.thresholds) <= 0)


@pytest.mark.parametrize("threshold", [0.001, 0.3, 0.5, 0.75, 0.999])
def test_the_point_at_a_threshold_is_that_of_the_probabilities(threshold: float) -> None:
    logits, labels = scored(300)
    point = curves_of(logits, labels).at(threshold)
    predicted = (logits.double().softmax(dim=1)[:, 1] >= threshold).long()
    assert point.recall == pytest.approx(recall_score(labels, predicted))
    assert point.precision == pytest.approx(precision_score(labels, predicted, zero_division=0))
    assert point.specificity == pytest.approx(recall_score(1 - labels, 1 - predicted))
    assert point.accuracy == pytest.approx(float((labels == predicted).double().mean()))
    missed, false = int(((labels == 1) & (predicted == 0)).sum()), int(((labels == 0) & (predicted == 1)).sum())
    assert point.cost(missed=5, false_alarm=0.5) == 5 * missed + 0.5 * false
    assert point.threshold == pytest.approx(threshold)


def test_margins_tell_apart_what_probabilities_cannot() -> None:
    logits = torch.tensor([[0.0, 30.0], [0.0, 40.0], [0.0, 50.0], [-60.0, 0.0]])
    labels = torch.tensor([0, 1, 0, 1])
    assert len(set(logits.softmax(dim=1)[:, 1].tolist())) == 1
    assert curves_of(logits, labels).auc == 0.75


def test_images_of_one_class_have_no_curve() -> None:
    assert binary_curves(torch.zeros(3, 2), torch.ones(3, dtype=torch.int64), positive=1) is None
    assert rarer_class(torch.tensor([0, 1, 1])) == 0
    assert rarer_class(torch.tensor([0, 1])) == 1


def test_delongs_interval_is_that_of_a_bootstrap() -> None:
    logits, labels = scored(400, seed=1)
    margins, is_positive = margins_of(logits, positive=1), (labels == 1).numpy()
    generator = np.random.default_rng(0)
    areas = []
    for _ in range(400):
        chosen = generator.integers(len(labels), size=len(labels))
        areas.append(curves_of(logits[chosen], labels[chosen]).auc)
    low, high = auc_interval(margins, is_positive)
    assert (low, high) == pytest.approx(np.percentile(areas, [2.5, 97.5]), abs=0.012)


def test_the_interval_of_a_faultless_area_is_that_of_the_smaller_class() -> None:
    margins, is_positive = np.arange(30.0), np.arange(30) >= 20
    assert auc_interval(margins, is_positive) == pytest.approx((0.025 ** (1 / 10), 1.0))
    assert auc_interval(-margins, is_positive) == pytest.approx((0.0, 1 - 0.025 ** (1 / 10)))
    assert auc_interval(margins, np.arange(30) == 29) == (0.0, 1.0)


def test_an_average_precision_without_a_mistake_is_no_certainty() -> None:
    logits = torch.tensor([[1.0, 0.0]] * 20 + [[0.0, 1.0]] * 10)
    labels = (torch.arange(30) >= 20).long()
    margins = margins_of(logits, positive=1)
    assert average_precision_interval(margins, labels.numpy() == 1) == pytest.approx((0.025 ** (1 / 10), 1.0))
    assert average_precision_interval(margins, np.arange(30) == 29) == (0.0, 1.0)


def test_paired_intervals_hold_the_true_difference_as_often_as_they_promise() -> None:
    """Two models whose errors are alike: the truth is that of 100,000 images."""
    generator = np.random.default_rng(0)

    def draw(num_images: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        is_positive = np.arange(num_images) % 4 == 0
        common = generator.normal(size=num_images) + is_positive
        return common + generator.normal(size=num_images), 1.5 * common + generator.normal(size=num_images), is_positive

    first, second, is_positive = draw(100_000)
    truth = roc_auc_score(is_positive, second) - roc_auc_score(is_positive, first)
    held, widths = 0, []
    for _ in range(100):
        found = paired_auc_difference(*draw(200))
        held += found.interval[0] <= truth <= found.interval[1]
        widths.append(found.interval[1] - found.interval[0])
        assert (found.p_value < 0.05) == (found.interval[0] > 0 or found.interval[1] < 0)
    assert 88 <= held <= 99
    assert np.mean(widths) < 0.2  # of independent samples it would be 0.25


def test_equal_models_do_not_differ() -> None:
    scores, is_positive = np.arange(20.0), np.arange(20) > 12
    found = paired_auc_difference(scores, scores, is_positive)
    assert (found.difference, found.interval, found.p_value) == (0, (0, 0), 1)
    assert paired_auc_difference(scores, -scores, np.arange(20) == 19).interval == (-1, 1)


def test_models_that_differ_alike_on_all_of_a_few_images_are_not_surely_different() -> None:
    for num_of_class, p_value in ((2, 0.5), (50, 2 * 0.5**50)):
        is_positive = np.arange(2 * num_of_class) >= num_of_class
        found = paired_auc_difference(np.zeros(2 * num_of_class), is_positive.astype(np.float64), is_positive)
        assert (found.difference, found.p_value) == (0.5, p_value)
        assert (found.interval[0] > 0) == (num_of_class == 50)
        assert found.interval[0] < 0.45 < 0.55 < found.interval[1] <= 1


def test_a_proportion_s_interval_is_exact() -> None:
    assert proportion_interval(50, 62) == pytest.approx((0.686, 0.895), abs=1e-3)
