"""`train --folds K` where a picture may have several labels: each is predicted once, by a model that is new to it."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, f1_score, hamming_loss

from small_runs import rows_of, small_config
from test_multi_label import NAMES, write_data
from thumbnet.cli import main
from thumbnet.cli.training_output import described
from thumbnet.config import TrainConfig
from thumbnet.errors import DataError
from thumbnet.evaluation.multi_label import LabelEvaluation
from thumbnet.evaluation.robustness import CorruptedAccuracy, Robustness
from thumbnet.models.card import card_to_dict
from thumbnet.models.label_decision import LabelDecision
from thumbnet.runs.comparison.folds import compare_folds
from thumbnet.runs.folds.config import shared_config
from thumbnet.runs.folds.evaluate import evaluate_folds
from thumbnet.runs.folds.runs import FoldRuns
from thumbnet.runs.folds.table import FoldRow, FoldTable
from thumbnet.runs.folds.train import resume_folds, train_folds
from thumbnet.runs.listing import list_runs
from thumbnet.runs.run import RunDir
from thumbnet.runs.write_report import write_report
from thumbnet.specs.json_text import to_json

NUM_FOLDS = 2


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> TrainConfig:
    """Images in pairs that belong together; labels are answered from a probability of 0.4 on."""
    folder = tmp_path_factory.mktemp("labels")
    (folder / "pairs.csv").write_text("index,group\n" + "".join(f"{index},pair-{index // 2}\n" for index in range(120)))
    data = write_data(folder / "own.npz")
    return small_config(data, threshold=0.4, val_fraction=0.25, groups=str(folder / "pairs.csv"), epochs=2)


@pytest.fixture(scope="module")
def folds(config: TrainConfig, tmp_path_factory: pytest.TempPathFactory) -> FoldRuns:
    """A test that changes the folder copies it."""
    folder = tmp_path_factory.mktemp("folds") / "folds"
    return train_folds(config, num_folds=NUM_FOLDS, run_dir=folder, log_style="silent", pictures=False)


def marks(rows: list[dict[str, str]], column: str) -> np.ndarray:
    return np.array([[name in row[column].split(";") for name in NAMES] for row in rows])


def test_every_image_is_predicted_once_and_no_group_is_parted(folds: FoldRuns) -> None:
    rows, table = rows_of(folds.path / "predictions.csv"), rows_of(folds.path / "folds.csv")
    assert len(rows) == len(table) > 100
    assert [(row["labels"], row["fold"]) for row in rows] == [(row["label"], row["fold"]) for row in table]
    fold_of = {(row["group"], row["fold"]) for row in table}
    assert len(fold_of) == len({group for group, _ in fold_of})
    for fold, run in enumerate(folds.runs):
        own = rows_of(run.path / "predictions.csv")
        of_fold = [row for row in rows if row["fold"] == str(fold)]
        assert [row["p_top"] for row in of_fold] == [row["p_top"] for row in own]
        num_images = Counter(name for row in own for name in row["labels"].split(";"))
        for name in NAMES:
            expected = sum(name in row["labels"].split(";") for row in rows) / NUM_FOLDS
            assert abs(num_images[name] - expected) <= 4


def test_figures_are_of_all_images_as_each_fold_answers_them(folds: FoldRuns) -> None:
    rows = rows_of(folds.path / "predictions.csv")
    truth, answered = marks(rows, "labels"), marks(rows, "predicted_labels")
    probabilities = np.array([[float(row[f"p_{name}"]) for name in NAMES] for row in rows])
    assert np.array_equal(answered, probabilities >= 0.4)
    assert not np.array_equal(answered, probabilities >= 0.5)
    expected = {
        "accuracy": (truth == answered).all(axis=1).mean(),
        "mean_average_precision": average_precision_score(truth, probabilities, average="macro"),
        "micro_f1": f1_score(truth, answered, average="micro"),
        "macro_f1": f1_score(truth, answered, average="macro"),
        "hamming_loss": hamming_loss(truth, answered),
    }
    figures = folds.metrics["figures"]
    assert isinstance(figures, dict)
    assert {name: figure["value"] for name, figure in figures.items()} == pytest.approx(expected)
    assert all(figure["low"] < figure["value"] < figure["high"] for figure in figures.values())
    assert folds.metrics["test_accuracy"] == pytest.approx(expected["accuracy"])
    for row, run in zip(folds.metrics["by_fold"], folds.runs, strict=True):  # type: ignore[call-overload]
        own = {name: run.metrics[f"test_{name}"] for name in expected}
        assert row == pytest.approx(own, abs=1e-6)
    (line,) = described(folds)
    assert f"mean average precision {expected['mean_average_precision']:.3f} [" in line
    num_images = Counter(row["labels"] or "no label" for row in rows)
    commonest = str(folds.metrics["commonest_labels"])
    assert num_images[commonest] == max(num_images.values())
    assert f"; always {commonest!r} has accuracy {num_images[commonest] / len(rows):.2%} (" in line
    row = next(row for row in list_runs(folds.path) if row.path == str(folds.path))
    found = figures["mean_average_precision"]
    bounds = (row.mean_average_precision_low, row.mean_average_precision_high)
    assert (row.mean_average_precision, *bounds) == (found["value"], found["low"], found["high"])


def test_what_is_missing_is_trained_to_the_same_end(folds: FoldRuns, tmp_path: Path) -> None:
    copied = shutil.copytree(folds.path, tmp_path / "folds")
    shutil.rmtree(copied / "fold-1")
    (copied / "metrics.json").unlink()
    again = resume_folds(copied, log_style="silent", pictures=False)
    assert again.metrics["figures"] == folds.metrics["figures"]


def test_the_report_shows_every_fold_and_what_is_wrong(folds: FoldRuns, tmp_path: Path) -> None:
    folder = shutil.copytree(folds.path, tmp_path / "folds")
    for name in ("fold-0", "fold-1"):
        found = Robustness(50, 0, 0.5, (CorruptedAccuracy("blur", 1.0, "pixels", 0.25),))
        RunDir(folder / name).write_checked({"robustness.json": to_json(found.to_dict(), name=name)})
    page = write_report(folder, tmp_path / "report.html").read_text()
    assert "(all labels of a picture right) on a fixed sample of 100 images out of fold: 50.0 %" in page
    assert "Pooled over 2 folds" in page
    assert '<section id="folds"' in page
    assert ">F1 over all answers</th>" in page
    assert "Answered: each label from a probability of 0.4 on." in page
    assert "count each label from a probability of one half on; all other figures obey the thresholds." in page
    assert "of each epoch the mean over the folds" in page.lower()
    assert f"{folds.metrics['num_images']:,}, in 2 folds" in page
    assert "of what other groups of images would give" in page
    rows = rows_of(folds.path / "predictions.csv")
    num_wrong = sum(row["labels"] != row["predicted_labels"] for row in rows)
    assert num_wrong > 0
    assert page.count("<figure><img") == min(120, num_wrong)
    assert "--folds 2" in page


def test_evaluate_and_compare_take_the_folder(
    folds: FoldRuns, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = shutil.copytree(folds.path, tmp_path / "other")
    assert main(["evaluate", str(folds.path)]) == 0
    shown = capsys.readouterr().out
    assert "mean average precision" in shown
    assert "answered each label from a probability of 0.4 on" in shown
    evaluation = evaluate_folds(folds.path)
    assert evaluation.to_dict()["figures"] == folds.metrics["figures"]
    (own,) = evaluation.found.of_seeds
    assert isinstance(own, LabelEvaluation)
    assert [each.threshold for each in own.classes] == pytest.approx([0.4] * 3)
    alone = replace(own, groups=None).loss_interval
    assert own.loss_interval is not None
    assert alone is not None
    assert own.loss_interval[0] <= alone[0] < alone[1] <= own.loss_interval[1]
    assert main(["compare", str(folds.path), str(other), "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)["comparisons"]
    zero = {"difference": 0.0, "low": 0.0, "high": 0.0}
    assert found["figures"] == dict.fromkeys(folds.metrics["figures"], zero)  # type: ignore[call-overload]
    assert found["by_group"]["mean_average_precision"] == [0.0, 0.0]
    assert found["auc_difference"] is None
    text = str(compare_folds([folds.path, other]))
    assert "mean average precision: +0.0000 (95% interval +0.0000 to +0.0000)" in text
    assert "by groups, which belong together (95% interval): accuracy +0.00 to +0.00 points, mean average" in text


def test_where_each_fold_picked_its_own_thresholds_that_is_said(folds: FoldRuns, tmp_path: Path) -> None:
    folder = shutil.copytree(folds.path, tmp_path / "folds")
    fold = RunDir(folder / "fold-1")
    card = fold.read_card()
    picked = LabelDecision((0.5, 0.0, -0.5), rule="f1", num_images=30)
    fold.write_checked({"model.json": json.dumps(card_to_dict(replace(card, label_decision=picked)))})
    assert "Answered: by the thresholds of each fold" in write_report(folder).read_text()
    evaluation = evaluate_folds(folder)
    assert "answered as stored" in str(evaluation)
    (own,) = evaluation.found.of_seeds
    assert isinstance(own, LabelEvaluation)
    assert [each.threshold for each in own.classes] == [None] * 3


def test_no_label_is_the_one_of_a_threshold() -> None:
    table = FoldTable(tuple(FoldRow("", "dim;left" if index % 2 else "", "", index % 2, False) for index in range(4)))
    asked = small_config(Path("data.npz"), threshold="f1", val_fraction="auto")
    shared = shared_config(asked, asked, table, NAMES, None, has_several_labels=True)
    assert shared.decisions.positive is None


def test_a_label_with_fewer_images_than_folds_is_refused(config: TrainConfig, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"labels? .* 50 folds"):
        train_folds(config, num_folds=50, run_dir=tmp_path / "folds", log_style="silent")
    assert not (tmp_path / "folds").exists()
