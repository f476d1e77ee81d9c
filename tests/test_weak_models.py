"""`data check` where models are weak: their own mistakes are not counted as wrong labels, and it says so."""

from __future__ import annotations

import numpy as np
import pytest

from test_label_issues import honest_models, replaced
from thumbnet.data_check.description import describe_check
from thumbnet.data_check.label_issues import find_label_issues


def weak_models(num_images: int, *, ramp: float, least: float = 0.0, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities [n,k] of models after a very short training, and the labels, all of them right.

    The share of mistakes grows from `least` for the surest images by `ramp` for each fifth of them; the models are too
    sure of themselves.
    """
    rng = np.random.default_rng(seed)
    num_classes = 10
    labels = rng.integers(0, num_classes, num_images)
    sureness = rng.random(num_images)  # 1: the surest
    is_wrong = rng.random(num_images) < np.minimum(0.9, least + ramp * 5 * (1 - sureness))
    predicted = np.where(is_wrong, (labels + rng.integers(1, num_classes, num_images)) % num_classes, labels)
    others = rng.dirichlet(np.ones(num_classes), num_images)
    others[np.arange(num_images), predicted] = 0
    confidence = 0.5 + 0.45 * sureness
    probabilities = others / others.sum(axis=1, keepdims=True) * (1 - confidence)[:, None]
    probabilities[np.arange(num_images), predicted] = confidence
    return probabilities, labels


@pytest.mark.parametrize(("ramp", "num_images"), [(0.1, 1438), (0.2, 1438), (0.1, 20_000), (0.2, 20_000)])
def test_mistakes_of_weak_models_are_no_wrong_labels(ramp: float, num_images: int) -> None:
    probabilities, labels = weak_models(num_images, ramp=ramp)
    issues = find_label_issues(probabilities, labels)
    accuracy = float((probabilities.argmax(axis=1) == labels).mean())
    assert accuracy < 0.8
    assert issues.num_errors < 0.05 * num_images  # none is wrong
    assert issues.precision * len(issues.indices) < 0.05 * num_images
    assert issues.models_accuracy == pytest.approx(accuracy, abs=0.06)
    assert issues.models_are_weak


def test_useless_models_are_known_as_such() -> None:
    """A third even of their surest predictions is wrong: no estimate tells that from wrong labels; the caution does."""
    probabilities, labels = weak_models(5000, ramp=0.3, least=0.35)
    issues = find_label_issues(probabilities, labels)
    assert issues.models_are_weak
    assert issues.precision < 0.7


@pytest.mark.parametrize("share", [0.0, 0.05, 0.2])
def test_wrong_labels_make_no_model_weak(share: float) -> None:
    probabilities, labels = honest_models(20_000, seed=1)
    given = replaced(labels, share, seed=2)
    issues = find_label_issues(probabilities, given)
    right = float((probabilities.argmax(axis=1) == labels).mean())
    assert issues.models_accuracy == pytest.approx(right, abs=0.03)  # though a fifth of the labels is wrong
    assert not issues.models_are_weak


def described(**changes: object) -> str:
    summary = {
        "data": "digits", "num_images": 1438, "num_held_out": 359, "accuracy": 0.68, "models_accuracy": 0.7,
        "models_are_weak": True, "num_label_errors": 50.0, "label_precision": 0.4, "label_recall": 0.6,
        "suspects": {"label": 75, "duplicate": 0}, "duplicates": [], "suspects_by_class": {}, "warnings": [],
    }  # fmt: skip
    return describe_check({**summary, **changes})


def test_the_caution_stands_where_models_are_too_weak() -> None:
    text = described()
    assert "Caution: the models are right on about 70% of the images" in text
    assert "at most 40% of these" in text
    strong = described(models_accuracy=0.95, models_are_weak=False)
    assert "Caution" not in strong
    assert "about 40% of these" in strong
    assert "Caution" in described(suspects={"label": 0})  # an empty list of weak models means nothing, either


def test_warnings_are_printed_last() -> None:
    warnings = [{"warning": "exclude.csv lists 3"}, {"warning": "suspects.csv lists 9"}]
    text = described(warnings=warnings, suspects_by_class={"three": {"label": 75}}, class_sizes={"three": 143})
    assert text.splitlines()[-2:] == ["Warning: exclude.csv lists 3", "Warning: suspects.csv lists 9"]
    assert "Warning" not in described()
