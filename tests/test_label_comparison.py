"""Models of several labels a picture compared: stored predictions, intervals by a bootstrap, runs side by side."""

from __future__ import annotations

import csv
import json
from dataclasses import astuple, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from small_runs import small_config
from test_multi_label import NAMES, random_evaluation, write_data
from thumbnet.cli import main
from thumbnet.data.dataset import Split
from thumbnet.errors import RunError
from thumbnet.evaluation import label_bootstrap
from thumbnet.evaluation.comparison import compare_with_baseline
from thumbnet.evaluation.intervals import accuracy_interval
from thumbnet.evaluation.label_differences import label_differences
from thumbnet.evaluation.label_intervals import label_intervals
from thumbnet.evaluation.label_predictions import LabelPredictions, StoredLabels
from thumbnet.evaluation.label_predictions_csv import label_predictions_from_csv, label_predictions_to_csv
from thumbnet.evaluation.multi_label import LabelEvaluation, label_evaluation_of
from thumbnet.models.label_decision import LabelDecision
from thumbnet.runs.comparison.runs import compare_runs
from thumbnet.runs.comparison.same_test import check_same_test
from thumbnet.runs.files.folder import RunDir
from thumbnet.runs.own_data import DataPlace
from thumbnet.runs.run import Run
from thumbnet.runs.train import train


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Run]:
    """One that was trained for two epochs, and one for a single step at a rate at which it learns nothing."""
    folder = tmp_path_factory.mktemp("compared")
    data = write_data(folder / "own.npz")
    return [
        train(
            small_config(data, epochs=epochs, lr=lr, val_fraction="auto"),
            run_dir=folder / name,
            log_style="silent",
            pictures=False,
        )
        for name, epochs, lr in (("untrained", 1, 1e-6), ("trained", 2, 0.05))
    ]


def as_table(predictions: LabelPredictions) -> str:
    images = torch.zeros(len(predictions.labels), 1, 1, 1, dtype=torch.uint8)
    paths = tuple(f"{index}.png" for index in range(len(images)))
    return label_predictions_to_csv(predictions, Split(images, predictions.labels, paths), NAMES)


def test_stored_predictions_come_back() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = 5 * torch.randn(200, 3, generator=generator)
    labels = (torch.rand(200, 3, generator=generator) < 0.4).to(torch.uint8)
    own = LabelPredictions(logits, labels, LabelDecision((1.0, -2.0, 0.0), rule="given"))
    stored = label_predictions_from_csv(as_table(own), name="x", class_names=NAMES)
    assert torch.equal(stored.labels, labels)
    assert torch.equal(stored.predicted, own.predicted)
    assert torch.equal(stored.right, own.right)
    assert stored.paths == tuple(f"{index}.png" for index in range(200))
    assert logits.max() > 12
    is_exact = logits < 14  # above, of nine digits of the probability few are other than 9
    assert torch.allclose(stored.predictions.logits[is_exact], logits[is_exact], atol=2e-3)
    found, expected = (
        LabelEvaluation("test", NAMES, each).mean_average_precision for each in (stored.predictions, own)
    )
    assert found == pytest.approx(expected)
    assert [each.threshold for each in label_evaluation_of(stored, NAMES).classes] == [None] * 3
    assert "answered as stored" in str(label_evaluation_of(stored, NAMES))


def test_probabilities_of_nothing_but_digits_are_understood() -> None:
    certain = LabelPredictions(torch.tensor([[200.0, -200.0, 0.0]]), torch.tensor([[1, 0, 1]], dtype=torch.uint8))
    stored = label_predictions_from_csv(as_table(certain), name="x", class_names=NAMES)
    assert bool(stored.predictions.logits.isfinite().all())
    assert stored.predictions.losses.item() == pytest.approx(np.log(2) / 3, abs=1e-6)


@pytest.mark.parametrize(
    ("column", "value", "expected"),
    [
        ("labels", "dim;bright", "'bright' is not one of the 3 labels"),
        ("p_top", "1.5", "a probability is not between 0 and 1"),
        ("p_top", "nan", "a probability is not between 0 and 1"),
        ("p_top", "high", "could not convert"),
        ("index", "7", "not numbered from 0 on"),
    ],
)
def test_damaged_tables_are_refused(column: str, value: str, expected: str) -> None:
    header, *rows = csv.reader(as_table(random_evaluation(num_images=3).predictions).splitlines())
    rows[1][header.index(column)] = value
    text = "\n".join(",".join(row) for row in [header, *rows])
    with pytest.raises(RunError, match=expected):
        label_predictions_from_csv(text, name="x", class_names=NAMES)


def test_images_that_are_each_drawn_once_give_the_figures_themselves() -> None:
    predictions = random_evaluation(num_images=80).predictions
    evaluation = LabelEvaluation("test", NAMES, replace(predictions, decision=LabelDecision((0.5, 0.0, 9.0))))
    once = np.ones((1, 80), np.int64)
    figures = label_bootstrap._figures(evaluation.predictions, once)
    precision = label_bootstrap._mean_precisions(evaluation.predictions, once)
    drawn = {name: float(values[0]) for name, values in {**figures, "mean_average_precision": precision}.items()}
    assert drawn == pytest.approx(evaluation.figures)


def test_intervals_hold_the_figure_and_groups_make_them_wider() -> None:
    evaluation = random_evaluation(num_images=300)
    of_images = label_intervals(evaluation.predictions)
    for name, value in evaluation.figures.items():
        low, high = of_images[name]
        assert low < value < high
    assert of_images["accuracy"] == pytest.approx(accuracy_interval(evaluation.accuracy, 300))
    copied = LabelPredictions(
        evaluation.predictions.logits[:30].repeat(10, 1), evaluation.predictions.labels[:30].repeat(10, 1)
    )
    groups = np.arange(300) % 30
    of_copies, of_groups = label_intervals(copied), label_intervals(copied, groups)
    for name, (low, high) in of_groups.items():
        assert high - low > 2 * (of_copies[name][1] - of_copies[name][0])
    by_image = LabelEvaluation("test", NAMES, copied)
    by_group = replace(by_image, groups=tuple(groups.tolist()))
    for image, group in zip(by_image.classes, by_group.classes, strict=True):
        for own, wider in zip(astuple(image.intervals), astuple(group.intervals), strict=True):
            assert wider[1] - wider[0] > 2 * (own[1] - own[0])


def test_a_label_without_images_has_no_interval_of_its_precision() -> None:
    labels = torch.zeros(20, 3, dtype=torch.uint8)
    predictions = LabelPredictions(torch.randn(20, 3, generator=torch.Generator().manual_seed(0)), labels)
    assert "mean_average_precision" not in label_intervals(predictions)
    assert "mean_average_precision" not in label_differences(*[LabelEvaluation("test", NAMES, predictions)] * 2)


def test_differences_are_paired() -> None:
    evaluation = random_evaluation(num_images=200)
    same = label_differences(evaluation, evaluation)
    assert {(each.difference, each.low, each.high) for each in same.values()} == {(0.0, 0.0, 0.0)}
    predictions = evaluation.predictions
    better = replace(predictions, logits=predictions.logits + 0.5 * (2.0 * predictions.labels - 1))
    found = label_differences(evaluation, LabelEvaluation("test", NAMES, better))
    for name in ("accuracy", "mean_average_precision", "micro_f1", "macro_f1"):
        assert 0 < found[name].low < found[name].difference < found[name].high
    assert found["hamming_loss"].high < 0


def test_a_picture_is_right_with_all_of_its_labels() -> None:
    labels = torch.tensor([[1, 0, 1], [0, 0, 0], [0, 1, 0], [1, 1, 1]], dtype=torch.uint8)
    first, second = labels.clone(), labels.clone()
    first[0, 1], second[1, 2] = 1, 1
    logits = torch.ones(4, 3)
    before, after = (StoredLabels(LabelPredictions(logits, labels, decided=answers)) for answers in (first, second))
    (pair,) = compare_with_baseline(before, [after])
    assert (pair.num_both_right, pair.only_baseline.tolist(), pair.only_other.tolist()) == (2, [1], [0])
    assert pair.area is None


def test_runs_are_compared_by_their_metrics(
    runs: list[Run], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main(["compare", *(str(run.path) for run in runs), "--out", str(out)]) == 0
    shown = capsys.readouterr().out
    assert "mean average precision  training" in shown
    assert "a picture is right with all of its labels" in shown
    values = json.loads((out / "comparison.json").read_text())
    (found,) = values["comparisons"]
    for name, figure in found["figures"].items():
        difference = runs[1].metrics[f"test_{name}"] - runs[0].metrics[f"test_{name}"]  # type: ignore[operator]
        assert figure["difference"] == pytest.approx(difference, abs=1e-6)
        assert figure["low"] <= figure["difference"] <= figure["high"]
    assert found["difference"] == pytest.approx(found["figures"]["accuracy"]["difference"])
    assert found["only_run"][0]["class_name"] == found["only_run"][0]["run_predicted_name"]
    precisions = [each["mean_average_precision"] for each in values["runs"]]
    assert precisions == pytest.approx([run.metrics["test_mean_average_precision"] for run in runs])
    assert (out / "disagreements.png").stat().st_size > 0


def test_several_labels_and_one_are_not_compared(runs: list[Run]) -> None:
    first, second = runs
    stored = [RunDir(run.path).read_any_predictions() for run in runs]
    other = replace(second, card=replace(second.card, label_decision=None))
    with pytest.raises(RunError, match="an image may have several labels in one of them"):
        check_same_test(first, stored[0], other, stored[1], name="other", place=DataPlace())


def test_other_labels_are_other_images(runs: list[Run], tmp_path: Path) -> None:
    first, second = runs
    stored = [RunDir(run.path).read_any_predictions() for run in runs]
    flipped = stored[1].labels.clone()
    flipped[:2] = 1 - flipped[:2]
    assert isinstance(stored[1], StoredLabels)
    changed = StoredLabels(replace(stored[1].predictions, labels=flipped), stored[1].paths)
    with pytest.raises(RunError, match=f"2 of {len(flipped)} labels differ"):
        check_same_test(first, stored[0], second, changed, name="other", place=DataPlace())
    assert compare_runs(runs).differences[0]["accuracy"].difference == pytest.approx(
        second.metrics["test_accuracy"] - first.metrics["test_accuracy"]  # type: ignore[operator]
    )
