"""Confident learning: planted wrong labels are found, the length of the list is right, no error gives no list."""

from __future__ import annotations

import numpy as np
import pytest

from thumbnet.data_check.label_issues import CONFIDENT_SHARE, LabelIssues, find_label_issues

NUM_CLASSES = 4


def honest_models(num_images: int, *, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities [n,k] of models that know how sure they can be, and true labels [n] drawn from them."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 1, (num_images, NUM_CLASSES))
    logits[np.arange(num_images), rng.integers(0, NUM_CLASSES, num_images)] += rng.gamma(4, 2, num_images)
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    draws = rng.random((num_images, 1))
    labels = np.minimum((probabilities.cumsum(axis=1) < draws).sum(axis=1), NUM_CLASSES - 1)
    return probabilities, labels


def replaced(labels: np.ndarray, share: float, *, seed: int) -> np.ndarray:
    """The labels, a share of them replaced by another class."""
    rng = np.random.default_rng(seed)
    chosen = rng.choice(len(labels), round(share * len(labels)), replace=False)
    wrong = labels.copy()
    wrong[chosen] = (wrong[chosen] + rng.integers(1, NUM_CLASSES, len(chosen))) % NUM_CLASSES
    return wrong


@pytest.mark.parametrize("share", [0.02, 0.05, 0.2])
def test_planted_errors_are_found_and_the_list_is_as_good_as_it_says(share: float) -> None:
    probabilities, labels = honest_models(20_000, seed=1)
    given = replaced(labels, share, seed=2)
    issues = find_label_issues(probabilities, given)
    is_wrong = given != labels
    precision = is_wrong[issues.indices].mean()
    recall = is_wrong[issues.indices].sum() / is_wrong.sum()
    assert precision > 0.8
    assert recall > 0.6
    assert issues.precision == pytest.approx(precision, abs=0.1)
    assert issues.recall == pytest.approx(recall, abs=0.1)
    assert issues.num_errors == pytest.approx(is_wrong.sum(), rel=0.25)
    suggested_right = issues.suggested == labels[issues.indices]
    assert suggested_right[is_wrong[issues.indices]].mean() > 0.9


def test_the_list_has_the_length_of_the_highest_f1() -> None:
    """No other length does much better by the true labels, though the rule does not know them."""
    probabilities, labels = honest_models(20_000, seed=3)
    given = replaced(labels, 0.05, seed=4)
    self_confidence = probabilities[np.arange(len(given)), given]
    is_wrong = (given != labels)[np.argsort(self_confidence)]
    f1 = 2 * is_wrong.cumsum() / (np.arange(1, len(given) + 1) + is_wrong.sum())
    length = len(find_label_issues(probabilities, given).indices)
    assert f1[length - 1] > f1.max() - 0.02
    assert f1[2 * length] < f1.max() - 0.1


def test_the_most_suspect_come_first_with_the_class_that_is_more_probable() -> None:
    probabilities, labels = honest_models(3_000, seed=5)
    given = replaced(labels, 0.1, seed=6)
    issues = find_label_issues(probabilities, given)
    confidences = probabilities[issues.indices, given[issues.indices]]
    assert len(issues.indices) > 100
    assert (np.diff(confidences) >= 0).all()
    np.testing.assert_allclose(issues.scores, 1 - confidences)
    assert (issues.suggested == probabilities[issues.indices].argmax(axis=1)).all()
    assert (issues.suggested != given[issues.indices]).all()


def test_the_list_may_be_longer_or_shorter_than_what_is_probably_wrong() -> None:
    probabilities, labels = honest_models(3_000, seed=5)
    given = replaced(labels, 0.1, seed=6)
    whole = find_label_issues(probabilities, given)
    for number in (7, len(whole.indices) + 50):
        some = find_label_issues(probabilities, given, max_labels=number)
        assert len(some.indices) == number
        shared = min(number, len(whole.indices))
        np.testing.assert_array_equal(some.indices[:shared], whole.indices[:shared])
        assert (some.recall < whole.recall) == (number == 7)
        assert (some.precision < whole.precision) == (number != 7)
        assert some.num_errors == whole.num_errors
    everyone = find_label_issues(probabilities, given, max_labels=10**6)
    assert len(everyone.indices) == (probabilities.argmax(axis=1) != given).sum()


def test_the_joint_counts_the_confident_images_of_each_class() -> None:
    probabilities, labels = honest_models(5_000, seed=7)
    issues = find_label_issues(probabilities, labels)
    predicted = probabilities.argmax(axis=1)
    for label in range(NUM_CLASSES):
        confident = (predicted == label) & (probabilities[:, label] >= issues.thresholds[label])
        assert confident.sum() == pytest.approx(CONFIDENT_SHARE * (predicted == label).sum(), abs=2)
        np.testing.assert_array_equal(
            issues.confident_joint[:, label], np.bincount(labels[confident], minlength=NUM_CLASSES)
        )


def test_labels_that_agree_give_an_empty_list() -> None:
    probabilities, _ = honest_models(500, seed=8)
    issues = find_label_issues(probabilities, probabilities.argmax(axis=1))
    assert issues.indices.shape == issues.suggested.shape == issues.scores.shape == (0,)
    assert (issues.num_errors, issues.precision, issues.recall) == (0.0, 0.0, 0.0)


def test_a_class_that_is_never_predicted_is_no_trouble() -> None:
    probabilities = np.tile([0.9, 0.1, 0.0], (10, 1))
    labels = np.array([0] * 8 + [1, 2])
    issues: LabelIssues = find_label_issues(probabilities, labels)
    assert set(issues.indices.tolist()) == {8, 9}
    np.testing.assert_array_equal(issues.thresholds, [0.9, 1.0, 1.0])


def test_models_that_know_less_than_the_sizes_of_the_classes_are_weak() -> None:
    """As after one epoch on solar cells: nearly all are called defective, surely, and a third is."""
    labels = np.repeat([0, 1], [310, 690])
    defective = np.random.default_rng(9).uniform(0.45, 1.0, len(labels))
    issues = find_label_issues(np.stack([defective, 1 - defective], axis=1), labels)
    agreement = float((np.where(defective >= 0.5, 0, 1) == labels).mean())
    assert agreement < 0.69
    assert issues.models_accuracy == agreement
    assert issues.models_are_weak
