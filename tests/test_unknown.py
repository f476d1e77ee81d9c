"""The answer 'unknown': pictures that are far from everything that a model was trained on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from thumbnet.evaluation.unknown import MIN_IMAGES, measure_features, pick_unknown
from thumbnet.models.blocknet import BlockNet
from thumbnet.models.unknown import MOST_VALUES, Unknown, contradiction_of_unknown, distances_to_means, unknown_answers
from thumbnet.runs.run import load_run

RULE = Unknown(
    means=((0.0, 0.0), (3.0, 0.0)), deviations=(1.0, 2.0), limit=2.0, share=0.05, num_images=200, num_unknown=10
)


def drawn(num_images: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Features and labels of three classes of different variance, and one feature that is silent."""
    generator = np.random.default_rng(seed)
    labels = np.arange(num_images) % 3
    features = 6 * np.eye(3, 8)[labels] + generator.normal(size=(num_images, 8)) * np.linspace(0.2, 3, 8)
    features[:, 7] = 1.0
    return features.astype(np.float32), labels


def picked(share: float = 0.05) -> Unknown:
    train, labels = drawn(900, 0)
    found = pick_unknown(train, labels, drawn(1000, 1)[0], share=share)
    assert found is not None
    return found


def test_distances_are_in_deviations_to_the_nearest_mean() -> None:
    features = np.array([[0.0, 2.0], [3.0, 4.0], [1.0, 0.0], [2.5, 0.0]])
    found = distances_to_means(features, np.array(RULE.means), np.array(RULE.deviations))
    assert found.tolist() == [1.0, 2.0, 1.0, 0.5]
    assert unknown_answers(RULE, np.array([[0.0, 4.0], [0.0, 4.1]])).tolist() == [False, True]
    assert unknown_answers(None, features).tolist() == [False] * 4


@pytest.mark.parametrize("share", [0.01, 0.05, 0.2])
def test_a_share_of_ones_own_is_refused_and_nearly_all_foreign_ones(share: float) -> None:
    unknown = picked(share)
    assert unknown.num_unknown == round(1000 * share)
    own = unknown_answers(unknown, drawn(20_000, 2)[0]).mean()
    assert own == pytest.approx(share, abs=4 * np.sqrt(share / 1000))
    foreign = drawn(500, 3)[0]
    foreign[:, 0] -= 6  # 30 deviations of that feature
    assert unknown_answers(unknown, foreign).mean() > 0.99


def test_the_limit_lies_between_two_images() -> None:
    unknown, held_out = picked(), drawn(1000, 1)[0]
    distances = np.sort(distances_to_means(held_out, np.array(unknown.means), np.array(unknown.deviations)))
    assert distances[949] < unknown.limit < distances[950]
    assert unknown.limit == pytest.approx(distances[949:951].mean())


def test_a_silent_feature_does_not_decide() -> None:
    unknown, moved = picked(), drawn(1000, 2)[0]
    before = unknown_answers(unknown, moved)
    moved[:, 7] += 1e-4
    assert unknown_answers(unknown, moved).tolist() == before.tolist()


def test_numbers_in_a_card_are_short() -> None:
    assert max(len(f"{value:g}".lstrip("-")) for mean in picked().means for value in mean) <= 10
    assert all(float(f"{value:.4g}") == value for value in picked().deviations)


def test_too_few_images_or_too_many_numbers_give_no_rule() -> None:
    train, labels = drawn(900, 0)
    assert pick_unknown(train, labels, drawn(MIN_IMAGES - 1, 1)[0], share=0.05) is None
    assert pick_unknown(train, labels, drawn(MIN_IMAGES, 1)[0], share=0.05) is not None
    wide = np.random.default_rng(0).normal(size=(900, MOST_VALUES // 3 + 1)).astype(np.float32)
    assert pick_unknown(wide, labels, wide[:MIN_IMAGES], share=0.05) is None
    assert pick_unknown(np.ones((900, 4), np.float32), labels, np.ones((300, 4), np.float32), share=0.05) is None


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"means": RULE.means[:1]}, "of 1 classes, not 2"),
        ({"means": ((0.0,), (1.0,))}, "not of 2 features"),
        ({"deviations": (1.0, 0.0)}, "not above 0"),
        ({"limit": 0.0}, "limit is 0.0"),
        ({"share": 1.0}, "share is 1.0"),
        ({"num_unknown": 200}, "200 of 200 images"),
    ],
)
def test_what_cannot_be_is_told(change: dict[str, Any], told: str) -> None:
    assert contradiction_of_unknown(RULE, num_classes=2) == ""
    assert told in contradiction_of_unknown(replace(RULE, **change), num_classes=2)


def test_features_are_what_the_head_sees(small_run: Path) -> None:
    run = load_run(small_run)
    model, dataset = run.model, run.load_dataset()
    assert isinstance(model, BlockNet)
    features = torch.from_numpy(measure_features(model, dataset.test.images, dataset))
    assert len(features) == len(dataset.test)
    with torch.no_grad():
        logits = model.head(features)
    accuracy = float((logits.argmax(dim=1) == dataset.test.labels).double().mean())
    assert accuracy == pytest.approx(run.metrics["test_accuracy"], abs=1e-6)
