"""How sure metrics of the user's own are: resampled images, whole groups, and why some have no interval."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import thumbnet
from small_runs import small_config, write_small_data
from thumbnet.cli import main
from thumbnet.evaluation import custom_intervals
from thumbnet.evaluation.custom_intervals import MetricInterval
from thumbnet.evaluation.intervals import accuracy_interval
from thumbnet.evaluation.metrics import summarise_predictions
from thumbnet.evaluation.predictions import Predictions
from thumbnet.runs.folds.evaluate import evaluate_folds
from thumbnet.runs.folds.report_parts import fold_headlines
from thumbnet.runs.folds.rows import folds_content
from thumbnet.runs.folds.train import train_folds
from thumbnet.runs.planning.ladder import DataFacts
from thumbnet.runs.planning.times import Times

pytestmark = pytest.mark.usefixtures("own_things")


def predictions_of(*, num_images: int = 200, share_right: float = 0.8, seed: int = 0) -> Predictions:
    """Of three classes, of which the last has few images."""
    generator = np.random.default_rng(seed)
    labels = generator.choice(3, size=num_images, p=[0.5, 0.4, 0.1])
    is_wrong = generator.random(num_images) >= share_right
    predicted = np.where(is_wrong, (labels + 1) % 3, labels)
    logits = 3.0 * torch.eye(3)[torch.tensor(predicted)] + 0.1 * torch.tensor(generator.random((num_images, 3))).float()
    return Predictions(logits, torch.tensor(labels))


def share_right(predictions: Predictions) -> float:
    return float((predictions.predicted == predictions.labels).double().mean())


def worst_recall(predictions: Predictions) -> float:
    right = predictions.predicted == predictions.labels
    return min(right[predictions.labels == label].double().mean().item() for label in predictions.labels.unique())


def few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred at most, however long they take."""
    monkeypatch.setattr(custom_intervals, "perf_counter", lambda: 0.0)
    monkeypatch.setattr(custom_intervals, "NUM_DRAWS", 100)
    monkeypatch.setattr(custom_intervals, "NUM_RESAMPLES", (100,))


def register_three() -> None:
    """One with an interval, one that is the same on all resamples, and one that is not defined."""
    thumbnet.register_metric("own", lambda predictions: float(predictions.probabilities[:, 0].double().mean()))
    thumbnet.register_metric("counted", lambda predictions: float(len(predictions.labels)))
    thumbnet.register_metric("nothing", lambda predictions: None)


def interval_of(metric: Any, predictions: Predictions, *, groups: list[int] | None = None) -> MetricInterval:
    thumbnet.register_metric("own", metric, replace=True)
    evaluation = summarise_predictions(predictions, split="test")
    return thumbnet.analyse(evaluation, ("a", "b", "c"), groups=groups).custom_metric_intervals["own"]


def test_an_accuracy_of_the_user_s_own_has_the_interval_that_ours_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(custom_intervals, "perf_counter", lambda: 0.0)
    found = interval_of(share_right, predictions_of(num_images=1000))
    expected = accuracy_interval(share_right(predictions_of(num_images=1000)), 1000)
    assert found.num_resamples == 1000
    assert found.interval == pytest.approx(expected, abs=0.004)


def test_the_interval_is_about_the_value(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the worst of three recalls, the resamples are rather lower than the value."""
    monkeypatch.setattr(custom_intervals, "perf_counter", lambda: 0.0)
    values: list[float] = []

    def recorded(predictions: Predictions) -> float:
        values.append(worst_recall(predictions))
        return values[-1]

    predictions = predictions_of()
    bounds, value = interval_of(recorded, predictions).interval, worst_recall(predictions)
    low, median, high = np.percentile(values[-1000:], [2.5, 50, 97.5])
    assert median < value
    assert bounds == pytest.approx((value - (median - low), value + (high - median)))


def test_it_goes_no_farther_than_the_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    few_resamples(monkeypatch)
    found = interval_of(lambda each: len(each.logits.unique(dim=0)) / len(each.logits), predictions_of())
    assert found.interval is not None  # of the share of the images that come for the first time, which is never above 1
    assert found.interval[0] < found.interval[1] == 1.0


def test_whole_groups_widen_it(monkeypatch: pytest.MonkeyPatch) -> None:
    few_resamples(monkeypatch)
    predictions = predictions_of()
    order = (predictions.predicted == predictions.labels).argsort().tolist()
    groups = [0] * len(order)
    for place, image in enumerate(order):
        groups[image] = place // 20  # nearly all of a group are right, or wrong
    alone, together = (interval_of(share_right, predictions, groups=each) for each in (None, groups))
    assert alone.interval is not None
    assert together.interval is not None
    assert together.interval[1] - together.interval[0] > 2 * (alone.interval[1] - alone.interval[0])
    each = interval_of(share_right, predictions, groups=list(range(len(order))))
    assert each == alone


def test_the_classes_that_were_decided_are_resampled_too(monkeypatch: pytest.MonkeyPatch) -> None:
    few_resamples(monkeypatch)
    predictions = predictions_of()
    decided = Predictions(predictions.logits, predictions.labels, (predictions.predicted + torch.arange(200) % 2) % 3)
    found = interval_of(share_right, decided)
    assert found.interval is not None
    assert found.interval[0] <= share_right(decided) <= found.interval[1] < 0.5


def fails_on_copies(predictions: Predictions) -> float:
    if len(predictions.logits.unique(dim=0)) < len(predictions.logits):
        raise ZeroDivisionError("no\nway")
    return 1.0


def chance(predictions: Predictions) -> float:
    return float(np.random.default_rng().random())


def of_the_first_half(predictions: Predictions) -> float:
    return float(predictions.logits[: len(predictions.logits) // 2, 0].double().mean())


def where_few_are_the_same(predictions: Predictions) -> float | None:
    return None if len(predictions.logits.unique(dim=0)) < len(predictions.logits) else 1.0


@pytest.mark.parametrize(
    ("metric", "reason"),
    [
        (fails_on_copies, "it fails on resampled images (ZeroDivisionError: no)"),
        (lambda each: float("nan") if len(each.logits.unique(dim=0)) < 200 else 1.0, "the metric 'own' gave nan"),
        (chance, "it is another number when the same images come in another order"),
        (of_the_first_half, "it is another number when the same images come in another order"),
        (where_few_are_the_same, "it is defined on 0 of 100 resamples"),
        (lambda each: float(len(each.labels)), "all resamples give the same"),
    ],
)
def test_why_there_is_none(metric: Any, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    few_resamples(monkeypatch)
    found = interval_of(metric, predictions_of())
    assert found.interval is None
    assert reason in found.reason
    assert str(found) == f"no interval: {found.reason}"


@pytest.mark.parametrize(
    ("step_s", "num_resamples"), [(0.00001, 1000), (0.003, 500), (0.009, 200), (0.015, 100), (0.03, 0)]
)
def test_a_slow_metric_has_few_resamples_or_none(
    step_s: float, num_resamples: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clock moves by a step at every look."""
    clock = itertools.count()
    monkeypatch.setattr(custom_intervals, "perf_counter", lambda: step_s * next(clock))
    calls = 0

    def counted(predictions: Predictions) -> float:
        nonlocal calls
        calls += 1
        return share_right(predictions)

    found = interval_of(counted, predictions_of())
    assert found.num_resamples == num_resamples
    if num_resamples:
        assert found.interval is not None
        assert ("by" in str(found)) == (num_resamples < 1000)
    else:
        assert found.reason == "100 resamples take more than 2 s"
    assert calls <= 1 + 4 + min(1000, 2 / step_s + 1)


def test_minutes_leave_time_for_them() -> None:
    facts = DataFacts(30_000, 1000, 2000, (30_000,), 3, (32, 32), False)
    times = Times(0.0, 1.0, 1e-3, False, lambda: 0.0)
    without = times.end_s(facts, 1e-3, (32, 32))
    thumbnet.register_metric("own", share_right)
    thumbnet.register_metric("other", share_right)
    assert times.end_s(facts, 1e-3, (32, 32)) - without == pytest.approx(2 * custom_intervals.SECONDS)
    labelled = replace(facts, has_several_labels=True)
    assert times.end_s(labelled, 1e-3, (32, 32)) == without


def test_metrics_json_and_evaluate_have_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    few_resamples(monkeypatch)
    register_three()
    config = small_config(write_small_data(tmp_path / "small.npz"))
    run = thumbnet.train(config, run_dir=tmp_path / "run", log_style="silent", pictures=False)
    metrics = json.loads((run.path / "metrics.json").read_text())
    found = metrics["custom_metric_intervals"]
    assert set(found) == {"own", "counted"}
    low, high = found["own"]["interval"]
    assert low < metrics["custom_metrics"]["own"] < high
    assert found["own"] == {"interval": [low, high], "num_resamples": 100, "reason": ""}
    assert found["counted"] == {"interval": None, "num_resamples": 0, "reason": "all resamples give the same"}
    assert main(["evaluate", str(run.path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["custom_metric_intervals"] == found


def test_folds_have_it_over_all_images_and_each_fold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    few_resamples(monkeypatch)
    register_three()
    (tmp_path / "pairs.csv").write_text("index,group\n" + "".join(f"{index},{index // 2}\n" for index in range(40)))
    config = small_config(write_small_data(tmp_path / "small.npz"), groups=str(tmp_path / "pairs.csv"))
    done = train_folds(config, num_folds=2, run_dir=tmp_path / "folds", log_style="silent", pictures=False)
    metrics = json.loads((done.path / "metrics.json").read_text())
    own, counted = metrics["figures"]["own"], metrics["figures"]["counted"]
    assert own["low"] < own["value"] < own["high"]
    assert (counted["value"], counted["low"], counted["reason"]) == (40.0, None, "all resamples give the same")
    of_folds = [run.metrics["custom_metrics"]["own"] for run in done.runs]  # type: ignore[index]
    assert [row["own"] for row in metrics["by_fold"]] == pytest.approx(of_folds, abs=1e-6)
    assert own["value"] == pytest.approx(np.mean(of_folds), abs=1e-6)  # as many images each
    assert "nothing" not in metrics["figures"]
    assert main(["evaluate", str(done.path)]) == 0
    table = capsys.readouterr().out
    lines = {line.split()[0]: " ".join(line.split()) for line in reversed(table.splitlines()) if line}
    assert lines["own"].startswith(f"own {own['value']:.4f} {own['low']:.4f} to {own['high']:.4f} ")
    assert lines["counted"].startswith("counted 40.0000 - ")
    found = evaluate_folds(done.path).found
    assert [each.note for each in fold_headlines(done.runs, found) if each.label in ("own", "counted")] == [
        f"95 % interval {own['low']:.3f} to {own['high']:.3f}",
        "no interval: all resamples give the same",
    ]
    content = folds_content(done.runs, found)
    assert content.figures[-2:] == ["own", "counted"]
    assert content.summary[-1].figures[-2:] == [f"{own['low']:.3f} to {own['high']:.3f}", "-"]
