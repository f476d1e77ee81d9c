"""The section on the threshold of two classes: its figures are those of the predictions, without a script too."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import binomtest
from sklearn.metrics import precision_recall_fscore_support, roc_curve

from test_report import random_predictions, report_of
from thumbnet.data.dataset import Dataset
from thumbnet.evaluation.analysis import Analysis, analyse
from thumbnet.evaluation.binary import OperatingPoint
from thumbnet.evaluation.metrics import summarise_predictions
from thumbnet.evaluation.predictions import Predictions
from thumbnet.models.decision import Decision, margin_of
from thumbnet.views.report.threshold import MAX_POINTS, SHOWN_THRESHOLDS, threshold_section, threshold_text
from two_class_report import CLASSES, two_class_predictions, write_two_class_report


def analysis_of(predictions: Predictions, decision: Decision | None = None) -> Analysis:
    evaluation = summarise_predictions(predictions.decided_by(decision), split="test", decision=decision)
    return analyse(evaluation, CLASSES)


def positives_at(predictions: Predictions, threshold: float) -> np.ndarray:
    margins = (predictions.logits[:, 1] - predictions.logits[:, 0]).double().numpy()
    return margins >= margin_of(threshold)


def test_the_table_is_what_the_predictions_give_at_each_threshold() -> None:
    predictions = two_class_predictions()
    section = threshold_section(analysis_of(predictions))
    assert section is not None
    assert [row.text for row in section.rows] == [f"{100 * threshold:.1f} %" for threshold in SHOWN_THRESHOLDS]
    labels = predictions.labels.numpy() == 1
    for threshold, row in zip(SHOWN_THRESHOLDS, section.rows, strict=True):
        chosen = positives_at(predictions, threshold)
        precision, recall, f1, _ = precision_recall_fscore_support(labels, chosen, average="binary", zero_division=0.0)
        point = row.point
        assert (point.precision, point.recall, point.f1) == pytest.approx((precision, recall, f1))
        assert point.accuracy == pytest.approx((labels == chosen).mean())
        assert row.is_kept == (threshold == 0.5)


def test_figures_at_a_threshold_have_intervals(tmp_path: Path) -> None:
    section = threshold_section(analysis_of(two_class_predictions()))
    assert section is not None
    point = section.kept.point
    intervals = point.intervals()
    of = {
        "recall": (point.num_true_positives, point.num_true_positives + point.num_false_negatives),
        "precision": (point.num_true_positives, point.num_true_positives + point.num_false_positives),
        "specificity": (point.num_true_negatives, point.num_true_negatives + point.num_false_positives),
        "accuracy": (point.num_true_positives + point.num_true_negatives, point.num_images),
    }
    for name, counts in of.items():
        assert intervals[name] == pytest.approx(tuple(binomtest(*counts).proportion_ci(method="wilson"))), name
    assert intervals["f1"] is not None
    assert intervals["f1"][0] < point.f1 < intervals["f1"][1]
    write_two_class_report(tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    for name, bounds in intervals.items():
        assert bounds is not None
        assert f'data-figure="{name}-interval">{100 * bounds[0]:.1f} to {100 * bounds[1]:.1f}<' in page
    never = OperatingPoint(0.9, 0, 0, 5, 5)
    assert (never.precision, never.intervals()["precision"]) == (0.0, None)


def test_the_control_has_the_answers_at_every_threshold() -> None:
    predictions = two_class_predictions()
    section = threshold_section(analysis_of(predictions))
    assert section is not None
    values = section.values
    points = values["points"]
    assert points[values["kept"]][0] == "50.0 %"
    assert points[0][1:] == [values["positives"], values["negatives"]]  # the lowest threshold answers all as positive
    assert points[-1][1:] == [0, 0]
    false_alarms, found, _ = roc_curve(predictions.labels, predictions.logits[:, 1] - predictions.logits[:, 0])
    shown = {(fp, tp) for _, tp, fp in points}
    expected = zip(np.rint(false_alarms * values["negatives"]), np.rint(found * values["positives"]), strict=True)
    assert {(int(fp), int(tp)) for fp, tp in expected} <= shown


def test_of_many_thresholds_as_many_are_kept_as_the_page_may_hold() -> None:
    generator = torch.Generator().manual_seed(0)
    many = Predictions(5 * torch.randn(5000, 2, generator=generator), (torch.arange(5000) % 4 == 0).long())
    decision = Decision(1, 0.123, margin_of(0.123), "f1", num_images=200, num_positives=50)
    section = threshold_section(analysis_of(many, decision))
    assert section is not None
    points = section.values["points"]
    assert len(points) == MAX_POINTS
    chosen, labels = positives_at(many, 0.123), many.labels.numpy() == 1
    assert points[section.values["kept"]] == ["12.3 %", int((chosen & labels).sum()), int((chosen & ~labels).sum())]
    found = [tp for _, tp, _ in points]
    assert found == sorted(found, reverse=True)
    assert "picked by f1 on 200 validation images" in section.how
    assert [row.text for row in section.rows if row.is_kept] == ["12.3 %"]
    assert len(section.rows) == len(SHOWN_THRESHOLDS) + 1


def test_a_threshold_that_is_one_of_the_table_stands_there_once() -> None:
    for threshold in (0.1, 0.3, 0.9):
        decision = Decision(1, threshold, margin_of(threshold), "given")
        section = threshold_section(analysis_of(two_class_predictions(), decision))
        assert section is not None
        assert [row.text for row in section.rows] == [f"{100 * each:.1f} %" for each in SHOWN_THRESHOLDS]
        assert [row.text for row in section.rows if row.is_kept] == [f"{100 * threshold:.1f} %"]


def test_where_each_of_several_models_has_its_own_none_of_the_table_is_the_models() -> None:
    section = threshold_section(analysis_of(two_class_predictions()), how="Each at a threshold of its own.")
    assert section is not None
    assert section.how == "Each at a threshold of its own."
    assert not any(row.is_kept for row in (section.kept, *section.rows))


def test_thresholds_near_the_ends_keep_their_digits() -> None:
    texts = [threshold_text(value) for value in (0.5, 0.012, 0.0012, 0.9988, 0.0, 1.0)]
    assert texts == ["50.0 %", "1.2 %", "0.12 %", "99.88 %", "0 %", "100 %"]


def test_the_page_has_the_section_of_two_classes_only(tiny_dataset: Dataset, tmp_path: Path) -> None:
    write_two_class_report(tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    found = re.search(r'<script type="application/json" id="threshold-values">(.*?)</script>', page)
    assert found is not None
    values: dict[str, Any] = json.loads(found[1])
    tp = values["points"][values["kept"]][1]
    assert f'data-figure="tp">{tp}<' in page
    assert "Area under the ROC curve" in page
    assert page.count('class="mark"') == 2
    three = report_of(tiny_dataset, random_predictions(tiny_dataset.test.labels, 3))
    assert 'id="threshold' not in three
