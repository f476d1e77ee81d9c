"""Intervals of the figures that are no plain share of images: they hold the truth as often as they promise."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score, f1_score

from test_multi_label import NAMES, random_evaluation
from thumbnet.evaluation.binary_intervals import average_precision_interval
from thumbnet.evaluation.calibration import calibrate, cover
from thumbnet.evaluation.clustered_shares import clustered_interval, mean_interval_by_groups
from thumbnet.evaluation.influence_intervals import precision_influences, ratio_influences
from thumbnet.evaluation.intervals import accuracy_interval, mean_interval
from thumbnet.evaluation.label_intervals import label_intervals
from thumbnet.evaluation.label_predictions import LabelPredictions
from thumbnet.evaluation.multi_label import LabelEvaluation
from thumbnet.evaluation.predictions import Predictions

STEP = 1e-6


def drawn(num_images: int, seed: int, *, scale: float = 1.0) -> Predictions:
    """Of labels drawn from the very probabilities, times `scale` in the logits."""
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(num_images, 3, generator=generator)
    labels = torch.multinomial(logits.softmax(1), 1, generator=generator).flatten()
    return Predictions(logits * scale, labels)


@pytest.mark.parametrize("scale", [1.0, 2.5], ids=["calibrated", "too sure"])
def test_a_calibration_error_of_other_images_is_within_its_interval(scale: float) -> None:
    errors = np.array([calibrate(drawn(300, seed, scale=scale)).error for seed in range(100)])
    spans = [calibrate(drawn(300, 1_000 + seed, scale=scale)).interval for seed in range(100)]
    held = sum(low <= errors.mean() <= high for low, high in spans)
    assert held >= 90
    widths = [high - low for low, high in spans]
    assert 0.7 < np.mean(widths) / (2 * 1.96 * errors.std()) < 1.6


def test_answers_that_are_all_right_are_no_certainty() -> None:
    sure = Predictions(torch.tensor([[9.0, 0.0]] * 50), torch.zeros(50, dtype=torch.int64))
    low, high = calibrate(sure).interval
    assert low <= calibrate(sure).error < 0.001 < 0.01 < high < 0.05
    assert calibrate(Predictions(sure.logits[:1], sure.labels[:1])).interval == (0, 1)
    values = np.ones(40)
    assert clustered_interval(values, np.arange(40)) == accuracy_interval(1.0, 40)
    assert clustered_interval(values, np.arange(40) // 10) == accuracy_interval(1.0, 4)
    right = 9.0 * (2 * torch.eye(3).repeat(20, 1) - 1)
    found = label_intervals(LabelPredictions(right, torch.eye(3, dtype=torch.uint8).repeat(20, 1)))
    for name in ("micro_f1", "macro_f1", "mean_average_precision"):
        assert found[name][0] < 0.97
        assert found[name][1] == pytest.approx(1)
    assert found["hamming_loss"] == accuracy_interval(0.0, 60)


def test_images_that_belong_together_tell_less() -> None:
    once = drawn(100, 0)
    copies = Predictions(once.logits.repeat(8, 1), once.labels.repeat(8))
    groups = np.arange(800) % 100
    alone, together = calibrate(copies).interval, calibrate(copies, groups=groups).interval
    assert together[0] <= alone[0]
    assert together[1] - together[0] > 1.8 * (alone[1] - alone[0])
    for share in (0.5, 1.0):
        of_copies, of_groups = cover(copies).interval_at(share), cover(copies, groups).interval_at(share)
        assert of_groups == pytest.approx(cover(once).interval_at(share), abs=0.01)
        assert of_groups[1] - of_groups[0] > 2.5 * (of_copies[1] - of_copies[0])


def test_a_mean_of_copies_is_as_sure_as_that_of_the_images_once() -> None:
    values = np.random.default_rng(0).exponential(size=200)
    copies, groups = np.repeat(values, 4), np.repeat(np.arange(200), 4)
    once = mean_interval(values)
    assert mean_interval_by_groups(copies, groups) == pytest.approx(once, rel=0.01)
    assert mean_interval_by_groups(copies, None) == mean_interval(copies)
    assert mean_interval_by_groups(values[:1], groups[:1]) is None


@pytest.mark.parametrize("decimals", [6, 0], ids=["distinct", "tied"])
def test_an_image_moves_an_average_precision_as_its_influence_says(decimals: int) -> None:
    generator = np.random.default_rng(0)
    is_positive = generator.random(60) < 0.4
    scores = (generator.normal(size=60) + is_positive).round(decimals)
    influences = precision_influences(scores, is_positive)
    before = average_precision_score(is_positive, scores)
    for image in range(0, 60, 7):
        weights = 1 + STEP * (np.arange(60) == image)
        moved = (average_precision_score(is_positive, scores, sample_weight=weights) - before) / STEP
        assert influences[image] == pytest.approx(moved, abs=1e-5)
    assert influences.sum() == pytest.approx(0)


def test_an_image_moves_f1_as_its_influence_says() -> None:
    generator = np.random.default_rng(0)
    truth, answered = generator.random((2, 40)) < 0.5
    influences = ratio_influences(2.0 * (truth & answered), truth.astype(float) + answered)
    before = f1_score(truth, answered)
    for image in range(0, 40, 7):
        moved = (f1_score(truth, answered, sample_weight=1 + STEP * (np.arange(40) == image)) - before) / STEP
        assert influences[image] == pytest.approx(moved, abs=1e-5)


def test_intervals_of_average_precisions_hold_the_truth() -> None:
    generator = np.random.default_rng(0)

    def draw(num_images: int) -> tuple[np.ndarray, np.ndarray]:
        is_positive = generator.random(num_images) < 0.2
        return generator.normal(size=num_images) + 1.5 * is_positive, is_positive

    scores, is_positive = draw(200_000)
    truth = average_precision_score(is_positive, scores)
    spans = [average_precision_interval(*draw(200)) for _ in range(100)]
    assert sum(low <= truth <= high for low, high in spans) >= 88
    assert np.mean([high - low for low, high in spans]) < 0.4


def test_figures_of_several_labels_are_within_their_intervals_as_often_as_promised() -> None:
    evaluations = [random_evaluation(num_images=150, seed=seed) for seed in range(80)]
    truth = random_evaluation(num_images=100_000, seed=999).figures
    for name, value in truth.items():
        spans = [each.intervals[name] for each in evaluations]
        assert sum(low <= value <= high for low, high in spans) >= 70, name


def test_every_figure_of_several_labels_has_an_interval_in_json_and_text() -> None:
    evaluation = random_evaluation(num_images=200)
    values, text = json.loads(json.dumps(evaluation.to_dict())), str(evaluation)
    for name in (
        "accuracy", "loss", "mean_average_precision", "micro_f1", "macro_f1", "hamming_loss", "calibration_error",
    ):  # fmt: skip
        low, high = values[f"{name}_interval"]
        assert low < values[name] < high, name
    for name in ("micro_f1", "macro_f1", "hamming_loss", "calibration_error"):
        low, high = values[f"{name}_interval"]
        assert f"{values[name]:.2%} ({100 * low:.1f} to {100 * high:.1f})" in text
    for each in [values, *values["classes"]]:
        name = "mean_average_precision" if each is values else "average_precision"
        low, high = each[f"{name}_interval"]
        assert f"{each[name]:.4f} ({low:.4f} to {high:.4f})" in text


def test_a_label_s_pairs_of_an_image_count_together() -> None:
    """Copies of a label add pairs, and no images."""
    evaluation = random_evaluation(num_images=200)
    predictions = evaluation.predictions
    twice = LabelPredictions(predictions.logits.repeat(1, 2), predictions.labels.repeat(1, 2))
    low, high = LabelEvaluation("test", NAMES * 2, twice).calibration.interval
    own = evaluation.calibration.interval
    assert high - low == pytest.approx(own[1] - own[0], rel=0.1)
