"""Paired metrics against published examples, exact coverage and plain recomputations; what the pictures and the table
say is what was computed."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2
from sklearn.metrics import roc_auc_score

from test_views import LONG_NAMES, assert_readable, texts_of
from thumbnet.evaluation.comparison import (
    RunMetrics,
    compare_with_baseline,
    holm_p_values,
    mcnemar_p_value,
    paired_interval,
)
from thumbnet.evaluation.metrics import standard_error
from thumbnet.evaluation.predictions import StoredPredictions
from thumbnet.views.comparison import _round_duration, describe_comparison, draw_costs
from thumbnet.views.disagreements import disagreements_of, draw_disagreements

CLASS_NAMES = ("cat", "dog", "owl")


def random_predictions(num_models: int, num_images: int = 60, seed: int = 0) -> list[StoredPredictions]:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(3, (num_images,), generator=generator)
    stored = []
    for _ in range(num_models):
        guesses = torch.randint(3, (num_images,), generator=generator)
        sees = torch.rand(num_images, generator=generator) < 0.5
        confidence = torch.rand(num_images, generator=generator, dtype=torch.float64)
        stored.append(StoredPredictions(labels, torch.where(sees, labels, guesses), confidence))
    return stored


def test_the_interval_and_the_test_equal_published_examples() -> None:
    # Complete response before and after consolidation therapy (Cavo et al., 2012): 59 both, 6 and 16 one only, 80
    # neither; in Fagerland, Lydersen and Laake, "Statistical Analysis of Contingency Tables" (2017), chapter 8.
    interval = paired_interval(59, 16, 6, 80)
    assert [interval.low, interval.high] == pytest.approx([-0.1186, -0.0046], abs=5e-5)
    # McNemar's exact test of 6 against 16 by its definition.
    tail = sum(math.comb(22, count) for count in range(7)) / 2**22
    assert mcnemar_p_value(16, 6) == pytest.approx(2 * tail)
    assert mcnemar_p_value(6, 16) == pytest.approx(2 * tail)


def test_for_many_images_both_equal_the_textbook_approximations() -> None:
    both, only_baseline, only_other, neither = 8_446, 152, 180, 1_137
    num_images = both + only_baseline + only_other + neither
    difference = (only_other - only_baseline) / num_images
    deviation = math.sqrt(only_baseline + only_other - num_images * difference**2) / num_images
    interval = paired_interval(both, only_baseline, only_other, neither)
    assert interval.low == pytest.approx(difference - 1.96 * deviation, abs=2e-4)
    assert interval.high == pytest.approx(difference + 1.96 * deviation, abs=2e-4)
    corrected = (abs(only_other - only_baseline) - 1) ** 2 / (only_other + only_baseline)
    assert mcnemar_p_value(only_baseline, only_other) == pytest.approx(chi2.sf(corrected, 1), rel=0.01)


@pytest.mark.parametrize("shares", [(0.7, 0.1, 0.1, 0.1), (0.8, 0.05, 0.15, 0.0)])
def test_the_interval_holds_the_truth_as_often_as_it_says_on_few_images(shares: tuple[float, ...]) -> None:
    num_images, covered = 12, 0.0
    logs = [math.log(share) if share else -math.inf for share in shares]
    for both in range(num_images + 1):
        for only_baseline in range(num_images + 1 - both):
            for only_other in range(num_images + 1 - both - only_baseline):
                counts = (both, only_baseline, only_other, num_images - both - only_baseline - only_other)
                log_probability = math.lgamma(num_images + 1) + sum(
                    count * log - math.lgamma(count + 1) if count else 0.0
                    for count, log in zip(counts, logs, strict=True)
                )
                interval = paired_interval(*counts)
                if interval.low <= shares[2] - shares[1] <= interval.high:
                    covered += math.exp(log_probability)
    assert 0.93 < covered < 0.995


@settings(deadline=None)
@given(st.tuples(*[st.integers(0, 12)] * 4).filter(any))
def test_the_interval_is_around_the_difference_within_bounds_and_turns_with_its_models(
    counts: tuple[int, int, int, int],
) -> None:
    both, only_baseline, only_other, neither = counts
    interval = paired_interval(*counts)
    turned = paired_interval(both, only_other, only_baseline, neither)
    difference = (only_other - only_baseline) / sum(counts)
    assert -1 - 1e-12 <= interval.low <= difference <= interval.high <= 1 + 1e-12
    assert interval.low < interval.high
    assert [interval.low, interval.high] == pytest.approx([-turned.high, -turned.low])


def test_models_that_answer_alike_do_not_differ() -> None:
    assert mcnemar_p_value(0, 0) == 1
    interval = paired_interval(90, 0, 0, 10)
    assert interval.low < 0 < interval.high
    assert interval.high == pytest.approx(-interval.low)


def test_holms_correction_equals_its_definition() -> None:
    # 5 x 0.005, 4 x 0.01, 3 x 0.02; then 2 x 0.03 and 1 x 0.04, which may not be below what came before
    assert holm_p_values([0.01, 0.02, 0.03, 0.04, 0.005]) == pytest.approx([0.04, 0.06, 0.06, 0.06, 0.025])
    assert holm_p_values([0.03]) == [0.03]
    assert holm_p_values([0.9, 0.8]) == [1.0, 1.0]


def test_the_standard_error_is_that_of_repeated_draws() -> None:
    accuracies = np.random.default_rng(0).binomial(400, 0.8, size=20_000) / 400
    assert standard_error(0.8, 400) == pytest.approx(accuracies.std(), rel=0.03)


def test_comparisons_equal_a_plain_recomputation() -> None:
    baseline, *others = random_predictions(4)
    comparisons = compare_with_baseline(baseline, others)
    assert [found.holm_p_value for found in comparisons] == holm_p_values([found.p_value for found in comparisons])
    for other, found in zip(others, comparisons, strict=True):
        kinds: dict[tuple[bool, bool], list[int]] = {(one, two): [] for one in (False, True) for two in (False, True)}
        for index, label in enumerate(baseline.labels.tolist()):
            kinds[int(baseline.predicted[index]) == label, int(other.predicted[index]) == label].append(index)
        assert found.num_both_right == len(kinds[True, True])
        assert found.num_both_wrong == len(kinds[False, False])
        for indices, expected in ((found.only_baseline, kinds[True, False]), (found.only_other, kinds[False, True])):
            assert sorted(indices.tolist()) == expected
            assert len(expected) > 1
            sureness = [min(float(baseline.confidence[i]), float(other.confidence[i])) for i in indices.tolist()]
            assert sureness == sorted(sureness, reverse=True)
        accuracies = [float((model.predicted == model.labels).double().mean()) for model in (baseline, other)]
        assert found.difference == pytest.approx(accuracies[1] - accuracies[0])
        assert found.p_value == mcnemar_p_value(len(found.only_baseline), len(found.only_other))
        counts = len(kinds[True, True]), len(kinds[True, False]), len(kinds[False, True]), len(kinds[False, False])
        assert found.interval == paired_interval(*counts)


def test_balanced_accuracies_are_compared_class_by_class() -> None:
    baseline, other = random_predictions(2, num_images=400)
    (found,) = compare_with_baseline(baseline, [other])
    assert found.balanced is not None
    draw, draws = np.random.default_rng(0), np.zeros(2_000)
    recalls = np.zeros((2, 3))
    for label in range(3):
        is_of_class = baseline.labels == label
        right = np.stack([model.right[is_of_class].numpy() for model in (baseline, other)]).astype(float)
        recalls[:, label] = right.mean(axis=1)
        chosen = draw.integers(right.shape[1], size=(2_000, right.shape[1]))
        draws += (right[1] - right[0])[chosen].mean(axis=1) / 3
    assert found.balanced.difference == pytest.approx(np.diff(recalls.mean(axis=1))[0])
    bounds = found.balanced.low, found.balanced.high
    assert bounds == pytest.approx(np.percentile(draws, (2.5, 97.5)), abs=0.01)
    (back,) = compare_with_baseline(other, [baseline])
    assert back.balanced is not None
    assert (-back.balanced.high, -back.balanced.low) == pytest.approx(bounds)


def test_a_model_that_gives_up_the_rare_class_is_better_only_in_accuracy() -> None:
    labels, confidence = (torch.arange(200) >= 180).long(), torch.full((200,), 0.9, dtype=torch.float64)
    careful = StoredPredictions(labels, torch.where(torch.arange(200) % 4 == 0, 1 - labels, labels), confidence)
    careless = StoredPredictions(labels, torch.zeros(200, dtype=torch.int64), confidence)
    (found,) = compare_with_baseline(careful, [careless])
    assert found.interval.low > 0
    assert found.balanced is not None
    assert found.balanced.high < 0
    table = describe_comparison([metrics_of("careful"), metrics_of("careless")], [found], [])
    bounds = f"{100 * found.balanced.low:+.2f} to {100 * found.balanced.high:+.2f}"
    assert f"    balanced accuracy: {100 * found.balanced.difference:+.2f} points (95% interval {bounds})\n" in table
    assert "; of the balanced accuracy: that of each class, combined" in table


def test_of_equally_many_images_a_class_the_accuracy_is_the_balanced_one() -> None:
    labels, confidence = torch.arange(60) % 3, torch.full((60,), 0.9, dtype=torch.float64)
    stored = [StoredPredictions(labels, torch.where(torch.arange(60) % 7 == 0, 0, labels), confidence)] * 2
    (found,) = compare_with_baseline(stored[0], stored[1:])
    assert found.balanced is None
    assert "balanced accuracy" not in describe_comparison([metrics_of("first"), metrics_of("second")], [found], [])


def metrics_of(name: str, *, accuracy: float = 0.8, train_s: float = 46.0, macs: int = 15_600_000) -> RunMetrics:
    return RunMetrics(name, f"runs/{name}", "sprint", 194_464, macs, 60, accuracy, 0.05, train_s, 5)


def test_the_table_says_what_was_computed() -> None:
    baseline, *others = random_predictions(3)
    comparisons = compare_with_baseline(baseline, others)
    runs = [metrics_of("first"), metrics_of("second", accuracy=0.7), metrics_of("third")]
    table = describe_comparison(runs, comparisons, ["A note."])
    assert [line.split()[0] for line in table.splitlines()[:4]] == ["run", "first", "second", "third"]
    assert "70.00% ± 5.00%" in table.splitlines()[2]
    found = comparisons[0]
    block = table[table.index("second against first:") : table.index("third against first:")]
    assert f"{100 * found.difference:+.2f} points" in block
    assert f"{100 * found.interval.low:+.2f} to {100 * found.interval.high:+.2f}" in block
    assert f"p = {found.p_value:.2g} (p = {found.holm_p_value:.2g} corrected)" in block
    assert f"only second {len(found.only_other)}, only first {len(found.only_baseline)}," in block
    assert table.endswith("A note.")
    one = describe_comparison(runs[:2], compare_with_baseline(baseline, others[:1]), [])
    assert "corrected" not in one
    sure = replace(found, p_value=1e-9)
    assert "p < 0.0001" in describe_comparison(runs[:2], [sure], [])


def test_costs_are_drawn_where_they_are_with_their_error() -> None:
    runs = [metrics_of("first"), metrics_of("second", accuracy=0.9, train_s=9_000.0, macs=136_161_672)]
    figure = draw_costs(runs)
    for axes, costs in zip(figure.axes, ([46.0, 9_000.0], [15_600_000, 136_161_672], [194_464, 194_464]), strict=True):
        marks = [container.lines[0] for container in axes.containers]
        assert [float(mark.get_xdata()[0]) for mark in marks] == costs
        assert [float(mark.get_ydata()[0]) for mark in marks] == pytest.approx([80, 90])
        (bar,) = axes.containers[0].lines[2]
        assert bar.get_segments()[0][:, 1].tolist() == pytest.approx([75, 85])
        low, high = axes.get_xlim()
        assert len([tick for tick in axes.get_xticks() if low <= tick <= high]) >= 2
    assert {"first", "second"} <= set(texts_of(figure).splitlines())
    assert_readable(figure)


@pytest.mark.parametrize("train_s", [0.3, 3.0, 77.0, 100_000.0])
def test_costs_of_any_size_are_readable(train_s: float) -> None:
    figure = draw_costs(
        [replace(metrics_of(name, accuracy=1.0, train_s=train_s), standard_error=0.0) for name in LONG_NAMES]
    )
    assert_readable(figure)
    low, high = figure.axes[0].get_ylim()
    assert not [tick for tick in figure.axes[0].get_yticks() if low <= tick <= high and tick > 100]
    assert low < 100 < high


def test_ticks_of_time_are_round() -> None:
    times = {0.5: "0.5 s", 5.0: "5 s", 20.0: "20 s", 300.0: "5 min", 7200.0: "2 h"}
    assert {seconds: _round_duration(seconds) for seconds in times} == times


def test_disagreements_show_the_images_with_what_both_say() -> None:
    baseline, other = random_predictions(2)
    (pair,) = compare_with_baseline(baseline, [other])
    images = torch.randint(0, 256, (60, 3, 8, 8), dtype=torch.uint8)
    sides = disagreements_of("first", baseline, "second", other, pair, images.__getitem__, num_images=3)
    figure = draw_disagreements([sides], CLASS_NAMES)
    shown = [np.asarray(axes.images[0].get_array()) for axes in figure.axes]
    expected = [*pair.only_baseline[:3].tolist(), *pair.only_other[:3].tolist()]
    assert len(shown) == 6
    assert all(
        np.array_equal(image, images[index].permute(1, 2, 0).numpy())
        for image, index in zip(shown, expected, strict=True)
    )
    told = texts_of(figure)
    assert "Only first is right" in told
    assert f"{len(pair.only_other)} test images, the 3 surest" in told
    index = expected[0]
    truth, guess = CLASS_NAMES[int(baseline.labels[index])], CLASS_NAMES[int(other.predicted[index])]
    assert f"truth: {truth}" in told
    assert f"first: {truth} ({100 * float(baseline.confidence[index]):.0f} %)" in told
    assert f"second: {guess} ({100 * float(other.confidence[index]):.0f} %)" in told


def test_disagreements_with_long_names_or_none_at_all_are_readable() -> None:
    baseline, other = random_predictions(2)
    images = torch.zeros((60, 1, 28, 28), dtype=torch.uint8)
    (pair,) = compare_with_baseline(baseline, [other])
    (same,) = compare_with_baseline(baseline, [baseline])
    figure = draw_disagreements(
        [
            disagreements_of(LONG_NAMES[0], baseline, LONG_NAMES[1], other, pair, images.__getitem__, num_images=1),
            disagreements_of("first", baseline, "again", baseline, same, images.__getitem__),
        ],
        LONG_NAMES[:3],
    )
    assert texts_of(figure).count("no test image") == 2
    assert_readable(figure)


def test_areas_of_two_classes_are_compared_where_all_probabilities_are_kept() -> None:
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(80) % 2
    models = []
    for skill in (1.0, 2.0):
        margins = torch.randn(80, generator=generator, dtype=torch.float64) + skill * labels
        chances = torch.stack([torch.sigmoid(-margins), torch.sigmoid(margins)], dim=1)
        models.append(StoredPredictions(labels, (margins > 0).long(), chances.max(dim=1).values, None, chances))
    (found,) = compare_with_baseline(models[0], models[1:])
    assert found.area is not None
    areas = [roc_auc_score(labels, model.probabilities[:, 1]) for model in models if model.probabilities is not None]
    assert found.area.difference == pytest.approx(areas[1] - areas[0])
    assert found.area.interval[0] < found.area.difference < found.area.interval[1]
    for changed in ({"probabilities": None}, {"probabilities": torch.rand(80, 3, dtype=torch.float64)}):
        (without,) = compare_with_baseline(dataclasses.replace(models[0], **changed), models[1:])  # type: ignore[arg-type]
        assert without.area is None
