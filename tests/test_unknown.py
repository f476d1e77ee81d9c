"""The answer 'unknown': pictures that are far from everything that a model was trained on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from thumbnet.errors import ConfigError, DataError
from thumbnet.evaluation.features import predict_features
from thumbnet.evaluation.unknown import MIN_IMAGES, MOST_MEASURED, measured_positions, pick_unknown
from thumbnet.models.blocknet import BlockNet
from thumbnet.models.program_numpy import run_program
from thumbnet.models.unknown import (
    MOST_VALUES,
    Unknown,
    contradiction_of_unknown,
    distances_by,
    distances_to_means,
    unknown_answers,
)
from thumbnet.runs.run import load_run
from thumbnet.runs.shippable import load_shippable

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


def answered(unknown: Unknown, features: np.ndarray) -> np.ndarray:
    return unknown_answers(unknown, distances_by(unknown, features))


def test_distances_are_in_deviations_to_the_nearest_mean() -> None:
    features = np.array([[0.0, 2.0], [3.0, 4.0], [1.0, 0.0], [2.5, 0.0]])
    found = distances_to_means(features, np.array(RULE.means), np.array(RULE.deviations))
    assert found.tolist() == [1.0, 2.0, 1.0, 0.5]
    assert answered(RULE, np.array([[0.0, 4.0], [0.0, 4.1]])).tolist() == [False, True]
    assert unknown_answers(None, found).tolist() == [False] * 4


@pytest.mark.parametrize("share", [0.01, 0.05, 0.2])
def test_a_share_of_ones_own_is_refused_and_nearly_all_foreign_ones(share: float) -> None:
    unknown = picked(share)
    assert unknown.num_unknown == round(1000 * share)
    own = answered(unknown, drawn(20_000, 2)[0]).mean()
    assert own == pytest.approx(share, abs=4 * np.sqrt(share / 1000))
    foreign = drawn(500, 3)[0]
    foreign[:, 0] -= 6  # 30 deviations of that feature
    assert answered(unknown, foreign).mean() > 0.99


def test_the_limit_lies_between_two_images() -> None:
    unknown, held_out = picked(), drawn(1000, 1)[0]
    distances = np.sort(distances_to_means(held_out, np.array(unknown.means), np.array(unknown.deviations)))
    assert distances[949] < unknown.limit < distances[950]
    assert unknown.limit == pytest.approx(distances[949:951].mean())


def test_a_silent_feature_does_not_decide() -> None:
    unknown, moved = picked(), drawn(1000, 2)[0]
    before = answered(unknown, moved)
    moved[:, 7] += 1e-4
    assert answered(unknown, moved).tolist() == before.tolist()


def test_numbers_in_a_card_are_short() -> None:
    assert max(len(f"{value:g}".lstrip("-")) for mean in picked().means for value in mean) <= 10
    assert all(float(f"{value:.4g}") == value for value in picked().deviations)


def test_what_gives_no_rule_is_refused() -> None:
    train, labels = drawn(900, 0)
    with pytest.raises(DataError, match="on 200 or more validation images, but 199 are held out"):
        pick_unknown(train, labels, drawn(MIN_IMAGES - 1, 1)[0], share=0.05)
    with pytest.raises(DataError, match="on 1,000 or more validation images, but 200 are held out"):
        pick_unknown(train, labels, drawn(MIN_IMAGES, 1)[0], share=0.01)
    assert pick_unknown(train, labels, drawn(MIN_IMAGES, 1)[0], share=0.05) is not None
    wide = np.random.default_rng(0).normal(size=(900, MOST_VALUES // 3 + 1)).astype(np.float32)
    with pytest.raises(ConfigError, match=r"means of 3 classes in 1,366 features, and a card takes 4,096 numbers"):
        pick_unknown(wide, labels, wide[:MIN_IMAGES], share=0.05)
    with pytest.raises(DataError, match="a class has no training images"):
        pick_unknown(train[labels != 1], labels[labels != 1], drawn(MIN_IMAGES, 1)[0], share=0.05)


def test_features_of_a_failed_training_give_no_rule() -> None:
    train, labels = drawn(900, 0)
    assert pick_unknown(np.ones((900, 4), np.float32), labels, np.ones((300, 4), np.float32), share=0.05) is None
    assert pick_unknown(train * np.float32("inf"), labels, drawn(MIN_IMAGES, 1)[0], share=0.05) is None
    assert pick_unknown(train, labels, drawn(MIN_IMAGES, 1)[0] * np.float32("nan"), share=0.05) is None


def test_every_class_is_measured() -> None:
    labels = np.zeros(30_000, np.int64)
    labels[[5, 17_000, 29_999]] = 1
    labels[10_000:10_300] = 2
    chosen = measured_positions(labels, 3)
    assert MOST_MEASURED <= len(chosen) <= MOST_MEASURED + 13
    assert np.bincount(labels[chosen])[1] == 3
    assert np.bincount(labels[chosen])[2] >= 10
    assert len(set(chosen.tolist())) == len(chosen)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"means": RULE.means[:1]}, "of 1 classes, not 2"),
        ({"means": ((0.0,), (1.0,))}, "not of 2 features"),
        ({"means": ((0.0, 2e9), (1.0, 0.0))}, "means is beyond"),
        ({"deviations": (1.0, 0.0)}, "deviations is below"),
        ({"deviations": (1.0, 2e9)}, "deviations is beyond"),
        ({"deviations": (1.0,)}, "of 1 features, not 2"),
        ({"limit": 0.0}, "limit is 0.0"),
        ({"share": 1.0}, "share is 1.0"),
        ({"num_unknown": 200}, "200 of 200 images"),
    ],
)
def test_what_cannot_be_is_told(change: dict[str, Any], told: str) -> None:
    assert contradiction_of_unknown(RULE, num_classes=2, num_features=2) == ""
    assert told in contradiction_of_unknown(replace(RULE, **change), num_classes=2, num_features=2)


def test_only_networks_of_blocks_have_it_and_only_short_ones() -> None:
    assert "no network of blocks" in contradiction_of_unknown(RULE, num_classes=2, num_features=None)
    many = 3000
    wide = replace(RULE, means=((0.0,) * many,) * 2, deviations=(1.0,) * many)
    assert "6,000 numbers" in contradiction_of_unknown(wide, num_classes=2, num_features=many)


def test_features_are_what_the_head_sees(small_run: Path) -> None:
    run = load_run(small_run)
    model, dataset = run.model, run.load_dataset()
    assert isinstance(model, BlockNet)
    found = predict_features(model, dataset.test.images, mean=dataset.mean, std=dataset.std)
    assert len(found.features) == len(dataset.test)
    with torch.no_grad():
        torch.testing.assert_close(model.head(found.features), found.logits)
    accuracy = float((found.logits.argmax(dim=1) == dataset.test.labels).double().mean())
    assert accuracy == pytest.approx(run.metrics["test_accuracy"], abs=1e-6)
    shippable = load_shippable(small_run)
    assert shippable.program is not None
    by_numpy = run_program(shippable.program, dataset.test.images.numpy()).features
    np.testing.assert_allclose(by_numpy, found.features.numpy(), rtol=1e-3, atol=1e-4)
