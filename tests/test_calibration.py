"""Calibration, temperature and coverage, against plain re-computations."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve
from torch.nn import functional as F

from thumbnet.evaluation.calibration import at_temperature, calibrate, cover, fit_temperature
from thumbnet.evaluation.predictions import Predictions


def random_predictions(num_images: int, seed: int, *, scale: float = 2.0) -> Predictions:
    """Of labels drawn from the very probabilities, times `scale` in the logits."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(num_images, 4, generator=generator)
    labels = torch.multinomial(logits.softmax(1), 1, generator=generator).flatten()
    return Predictions(logits * scale, labels)


@settings(deadline=None)
@given(st.integers(1, 80), st.integers(0, 999), st.integers(1, 20))
def test_the_calibration_error_equals_a_plain_recomputation(num_images: int, seed: int, num_bins: int) -> None:
    predictions = random_predictions(num_images, seed)
    calibration = calibrate(predictions, num_bins=num_bins)
    expected = 0.0
    for index in range(num_bins):
        low, high = index / num_bins, (index + 1) / num_bins
        inside = [
            (float(confidence), int(guess) == int(label))
            for confidence, guess, label in zip(
                predictions.confidence.double(), predictions.predicted, predictions.labels, strict=True
            )
            if low < confidence <= high
        ]
        found = calibration.bins[index]
        assert found.num_images == len(inside)
        if inside:
            confidence, right = (sum(x) / len(inside) for x in zip(*inside, strict=True))
            assert found.confidence == pytest.approx(confidence)
            assert found.accuracy == pytest.approx(right)
            expected += len(inside) / num_images * abs(confidence - right)
        else:
            assert found.accuracy is None
    assert calibration.error == pytest.approx(expected, abs=1e-9)


def test_the_reliability_curve_equals_scikit_learns() -> None:
    predictions = random_predictions(3_000, 1)
    right = (predictions.predicted == predictions.labels).numpy()
    accuracy, confidence = calibration_curve(right, predictions.confidence.double().numpy(), n_bins=15)
    bins = [found for found in calibrate(predictions).bins if found.num_images]
    np.testing.assert_allclose([found.accuracy for found in bins], accuracy)
    np.testing.assert_allclose([found.confidence for found in bins], confidence)


@pytest.mark.parametrize("scale", [0.5, 1.0, 3.0])
def test_the_temperature_undoes_too_much_or_too_little_confidence(scale: float) -> None:
    predictions = random_predictions(20_000, 0, scale=scale)
    temperature = fit_temperature(predictions)
    assert temperature is not None
    assert temperature == pytest.approx(scale, rel=0.05)
    softened = at_temperature(predictions, temperature)
    assert softened.predicted.equal(predictions.predicted)
    assert calibrate(softened).error < 0.015
    for other in (temperature * 0.98, temperature * 1.02):
        assert at_temperature(predictions, other).losses.mean() > softened.losses.mean()


def test_no_temperature_is_best_where_all_is_right_or_the_model_knows_nothing() -> None:
    labels = torch.tensor([0, 1, 2, 1])
    right = F.one_hot(labels, 3).float() + 0.1 * torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    assert right.argmax(dim=1).equal(labels)
    assert fit_temperature(Predictions(right, labels)) is None
    assert fit_temperature(Predictions(1000 * right, labels)) is None
    assert fit_temperature(Predictions(-right, labels)) is None


def test_coverage_lets_in_the_most_confident_first() -> None:
    predictions = random_predictions(500, 3)
    coverage = cover(predictions)
    order = sorted(range(500), key=lambda index: -float(predictions.confidence[index]))
    right = [int(predictions.predicted[index] == predictions.labels[index]) for index in order]
    for num_images in (1, 7, 100, 500):
        assert coverage.accuracy_at(num_images / 500) == pytest.approx(sum(right[:num_images]) / num_images)
    assert coverage.coverage[-1] == 1
    assert math.isclose(coverage.accuracy[-1], sum(right) / 500)
