"""Intervals by whole groups: those of single images where each is its own group, wider where groups answer alike."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from thumbnet.evaluation.analysis import analyse
from thumbnet.evaluation.binary import binary_curves
from thumbnet.evaluation.binary_intervals import auc_interval, paired_auc_difference
from thumbnet.evaluation.classes import metrics_by_class
from thumbnet.evaluation.figure_intervals import figure_intervals
from thumbnet.evaluation.group_bootstrap import group_class_intervals, group_differences, group_intervals
from thumbnet.evaluation.intervals import accuracy_interval
from thumbnet.evaluation.metrics import summarise_predictions
from thumbnet.evaluation.predictions import Predictions
from thumbnet.models.decision import Decision, margin_of

NUM_GROUPS, OF_GROUP = 40, 6


def grouped(*, seed: int, spread: float) -> Predictions:
    """Two classes; the logits of a group have a part in common."""
    draw = np.random.default_rng(seed)
    labels = np.repeat(np.arange(NUM_GROUPS) % 2, OF_GROUP)
    common = np.repeat(draw.normal(0, spread, NUM_GROUPS), OF_GROUP)
    margins = 1.2 * (2 * labels - 1) + common + draw.normal(0, 1, len(labels))
    logits = torch.from_numpy(np.stack([-margins / 2, margins / 2], axis=1)).float()
    return Predictions(logits, torch.from_numpy(labels))


GROUPS = np.repeat(np.arange(NUM_GROUPS), OF_GROUP)
ALONE = np.arange(NUM_GROUPS * OF_GROUP)


def width(interval: tuple[float, float]) -> float:
    return interval[1] - interval[0]


def test_images_of_one_class_have_no_curves() -> None:
    predictions = grouped(seed=0, spread=0.0)
    of_one = predictions.labels == 1
    found = group_intervals(
        Predictions(predictions.logits[of_one], predictions.labels[of_one]), GROUPS[of_one.numpy()], positive=1
    )
    assert set(found) == {"accuracy", "balanced_accuracy", "macro_f1", "mcc"}


def test_of_single_images_they_are_the_usual_ones() -> None:
    predictions = grouped(seed=0, spread=0.0)
    found = group_intervals(predictions, ALONE, positive=1)
    accuracy = float((predictions.predicted == predictions.labels).double().mean())
    assert found["accuracy"] == pytest.approx(accuracy_interval(accuracy, len(ALONE)), abs=0.015)
    margins = (predictions.logits[:, 1] - predictions.logits[:, 0]).double().numpy()
    is_positive = (predictions.labels == 1).numpy()
    assert found["auc"] == pytest.approx(auc_interval(margins, is_positive), abs=0.01)
    curves = binary_curves(predictions.logits, predictions.labels, positive=1)
    assert curves is not None
    assert found["auc"][0] < curves.auc < found["auc"][1]
    assert found["average_precision"][0] < curves.average_precision < found["average_precision"][1]
    assert set(found) == {"accuracy", "balanced_accuracy", "macro_f1", "mcc", "auc", "average_precision"}


def test_groups_that_answer_alike_widen_them() -> None:
    predictions = grouped(seed=1, spread=2.0)
    by_group, by_image = (group_intervals(predictions, groups, positive=1) for groups in (GROUPS, ALONE))
    for name, interval in by_group.items():
        assert width(interval) > 1.4 * width(by_image[name]), name


def test_intervals_of_classes_are_the_usual_ones_of_single_images_and_wider_by_groups() -> None:
    usual = metrics_by_class(grouped(seed=0, spread=0.0), ("a", "b"))
    alone = group_class_intervals(grouped(seed=0, spread=0.0), ALONE)
    for metrics, bounds in zip(usual, alone, strict=True):
        for name in ("precision", "recall", "f1"):
            assert getattr(bounds, name) == pytest.approx(getattr(metrics.intervals, name), abs=0.02), name
    predictions = grouped(seed=1, spread=2.0)
    for metrics, bounds in zip(
        metrics_by_class(predictions, ("a", "b")), group_class_intervals(predictions, GROUPS), strict=True
    ):
        for name in ("precision", "recall", "f1"):
            assert width(getattr(bounds, name)) > 1.2 * width(getattr(metrics.intervals, name)), name
            widened = getattr(metrics.with_intervals(bounds).intervals, name)
            assert width(widened) >= width(getattr(bounds, name))


def test_an_analysis_of_images_that_belong_together_has_them() -> None:
    predictions = grouped(seed=1, spread=2.0)
    evaluation = summarise_predictions(predictions, split="test")
    by_group, by_image = (analyse(evaluation, ("a", "b"), groups=groups) for groups in (GROUPS.tolist(), None))
    for wide, usual in zip(by_group.to_dict()["classes"], by_image.to_dict()["classes"], strict=True):
        assert wide["recall"] == usual["recall"]
        assert width(wide["intervals"]["recall"]) > 1.2 * width(usual["intervals"]["recall"])


def test_all_that_is_said_of_an_analysis_is_by_groups_where_images_belong_together() -> None:
    decision = Decision(1, 0.4, margin_of(0.4), "given")
    predictions = grouped(seed=1, spread=2.0).decided_by(decision)
    evaluation = summarise_predictions(predictions, split="test", decision=decision)
    by_group, by_image = (analyse(evaluation, ("a", "b"), groups=groups) for groups in (GROUPS.tolist(), None))
    wide, usual = by_group.to_dict(), by_image.to_dict()
    for name in ("accuracy", "balanced_accuracy", "macro_f1", "mcc", "auc", "average_precision", "loss"):
        assert wide[name] == usual[name]
        assert width(wide[f"{name}_interval"]) > 1.2 * width(usual[f"{name}_interval"]), name
    assert wide["accuracy_standard_error"] > 1.2 * usual["accuracy_standard_error"]
    point, own = usual["operating_point"], evaluation.at_threshold
    assert own is not None
    for name, bounds in own.intervals().items():
        assert point["intervals"][name] == pytest.approx(bounds), name
        assert width(wide["operating_point"]["intervals"][name]) > 1.2 * width(point["intervals"][name]), name
    text = str(by_group)
    low, high = wide["accuracy_interval"]
    assert f"95% interval {low:.2%} to {high:.2%}" in text
    low, high = wide["auc_interval"]
    assert f"area under ROC {wide['auc']:.4f} ({low:.4f} to {high:.4f})" in text
    low, high = wide["classes"][1]["intervals"]["recall"]
    recall = f"{wide['classes'][1]['recall']:.2%} ({100 * low:.1f} to {100 * high:.1f})"
    assert f"as given: recall {recall}" in text


def test_groups_of_one_image_each_change_little() -> None:
    evaluation = summarise_predictions(grouped(seed=0, spread=0.0), split="test")
    alone, usual = (figure_intervals(evaluation, groups) for groups in (ALONE, None))
    assert alone.standard_error == pytest.approx(usual.standard_error, rel=0.01)
    assert alone.loss == pytest.approx(usual.loss, rel=0.01)
    assert alone.accuracy == pytest.approx(usual.accuracy, abs=0.015)
    assert alone.top2_accuracy == usual.top2_accuracy


def test_a_class_that_is_never_answered_has_no_precision_by_groups_either() -> None:
    labels = torch.tensor([0, 0, 1, 1])
    predictions = Predictions(torch.tensor([[1.0, 0.0, 0.0]]).repeat(4, 1), labels)
    first, second, third = group_class_intervals(predictions, np.array([0, 0, 1, 1]))
    assert (first.precision is None, second.precision, third.precision) == (False, None, None)
    assert (second.recall, third.recall, third.f1) == ((0.0, 0.0), None, None)
    classes = metrics_by_class(predictions, ("a", "b", "c"))
    assert classes[1].with_intervals(second).intervals == classes[1].intervals  # of which a bootstrap knows nothing


def test_more_classes_have_no_areas() -> None:
    labels = torch.arange(60) % 3
    predictions = Predictions(torch.randn(60, 3, generator=torch.Generator().manual_seed(0)), labels)
    assert set(group_intervals(predictions, np.arange(60) // 2, positive=None)) == {
        "accuracy", "balanced_accuracy", "macro_f1", "mcc",
    }  # fmt: skip


def test_differences_are_of_the_same_draws() -> None:
    first, second = grouped(seed=2, spread=1.0), grouped(seed=3, spread=1.0)
    same = group_differences(first, first, GROUPS, positive=1)
    assert set(same.values()) == {(0.0, 0.0)}
    better = Predictions(first.logits + torch.nn.functional.one_hot(first.labels, 2), first.labels)
    found = group_differences(first, better, GROUPS, positive=1)
    assert found["accuracy"][0] > 0
    assert found["auc"][0] > 0
    margins = [(each.logits[:, 1] - each.logits[:, 0]).double().numpy() for each in (first, second)]
    usual = paired_auc_difference(*margins, (first.labels == 1).numpy())
    assert group_differences(first, second, ALONE, positive=1)["auc"] == pytest.approx(usual.interval, abs=0.02)
