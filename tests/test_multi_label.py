"""Pictures with several labels: trained with sigmoids, scored, predicted, exported or refused with a reason."""

from __future__ import annotations

import csv
import io
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from PIL import Image
from scipy.stats import binomtest
from sklearn.metrics import average_precision_score, f1_score, hamming_loss
from torch import nn

from small_runs import small_config
from test_minutes import FakeTime
from thumbnet.cli import main
from thumbnet.cli.training_output import metrics_over_classes
from thumbnet.data.dataset import Dataset
from thumbnet.data.from_arrays import dataset_from_arrays, save_dataset
from thumbnet.errors import ConfigError, ExportError, RunError
from thumbnet.evaluation.label_predictions import LabelPredictions, wrongly_labelled
from thumbnet.evaluation.label_scoring import label_scorers
from thumbnet.evaluation.multi_label import LabelEvaluation
from thumbnet.evaluation.robustness_scoring import measure_robustness
from thumbnet.evaluation.tta import predict_tta
from thumbnet.export.export import export_model
from thumbnet.export.exported import load_exported
from thumbnet.models.card import card_from_dict, card_to_dict
from thumbnet.models.decision import Decision
from thumbnet.models.label_decision import LabelDecision, chosen_labels, label_probabilities
from thumbnet.models.registry import create_with_options
from thumbnet.models.unsure import Unsure
from thumbnet.runs.comparison.seeds import compare_seeds
from thumbnet.runs.evaluate import evaluate_trained
from thumbnet.runs.files.contents import files_of_init
from thumbnet.runs.files.folder import RunDir, read_robustness
from thumbnet.runs.files.init_record import InitChoice
from thumbnet.runs.listing import list_runs
from thumbnet.runs.predict import predict
from thumbnet.runs.resume import resume
from thumbnet.runs.run import Run, load_run
from thumbnet.runs.seeds.evaluate import evaluate_seeds
from thumbnet.runs.seeds.train import train_seeds
from thumbnet.runs.train import train
from thumbnet.runs.write_report import write_report
from thumbnet.specs.engine import Engine
from thumbnet.specs.objective import Objective
from thumbnet.specs.optimizers import SGD
from thumbnet.training.fit import fit
from thumbnet.training.label_loss import gradient_scale, label_losses
from thumbnet.training.progress import Silent
from thumbnet.training.state import TrainingState

NAMES = ("dim", "left", "top")
NUM_IMAGES = 120


def write_data(path: Path) -> Path:
    """Pictures of noise in which the left half, the upper half or all is brighter, or several of these, or none."""
    generator = np.random.default_rng(0)
    labels = (generator.random((NUM_IMAGES, 3)) < [0.5, 0.4, 0.4]).astype(np.uint8)
    images = generator.integers(0, 60, (NUM_IMAGES, 16, 16))
    images = images + 60 * (1 - labels[:, 0, None, None])
    images[:, :, :8] += 60 * labels[:, 1, None, None]
    images[:, :8] += 60 * labels[:, 2, None, None]
    dataset = dataset_from_arrays(images.astype(np.uint8), labels, class_names=NAMES, val_fraction=0.3)
    return save_dataset(dataset, path)


@pytest.fixture(scope="session")
def label_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("labels")
    data = write_data(folder / "own.npz")
    config = small_config(data, epochs=2, threshold="f1", val_fraction="auto", report_robustness=True)
    return train(config, run_dir=folder / "run", log_style="silent")


def random_evaluation(*, num_images: int = 50, seed: int = 0) -> LabelEvaluation:
    generator = torch.Generator().manual_seed(seed)
    labels = (torch.rand(num_images, 3, generator=generator) < 0.4).to(torch.uint8)
    logits = torch.randn(num_images, 3, generator=generator) + labels
    return LabelEvaluation("test", NAMES, LabelPredictions(logits, labels))


def test_metrics_are_those_of_scikit_learn() -> None:
    evaluation = random_evaluation()
    labels, logits = evaluation.predictions.labels.numpy(), evaluation.predictions.logits.numpy()
    answered = logits >= 0
    assert evaluation.mean_average_precision == pytest.approx(average_precision_score(labels, logits, average="macro"))
    assert evaluation.micro_f1 == pytest.approx(f1_score(labels, answered, average="micro"))
    assert evaluation.macro_f1 == pytest.approx(f1_score(labels, answered, average="macro"))
    assert evaluation.hamming_loss == pytest.approx(hamming_loss(labels, answered))
    assert evaluation.accuracy == pytest.approx((labels == answered).all(axis=1).mean())


def test_each_label_has_intervals() -> None:
    evaluation = random_evaluation()
    text = str(evaluation)
    for each in evaluation.classes:
        for value, bounds in ((each.precision, each.intervals.precision), (each.recall, each.intervals.recall)):
            assert value is not None
            assert bounds is not None
            assert bounds[0] < value < bounds[1]
            assert f"{value:.2%} ({100 * bounds[0]:.1f} to {100 * bounds[1]:.1f})" in text
    labels, answered = evaluation.predictions.labels[:, 0] == 1, evaluation.predictions.predicted[:, 0] == 1
    found = binomtest(int((labels & answered).sum()), int(labels.sum())).proportion_ci(method="wilson")
    assert evaluation.classes[0].intervals.recall == pytest.approx(tuple(found))


def test_wrong_images_come_by_their_loss() -> None:
    predictions = random_evaluation().predictions
    wrong = wrongly_labelled(predictions)
    assert set(wrong.tolist()) == set((~predictions.right).nonzero().flatten().tolist())
    assert torch.equal(predictions.losses[wrong], predictions.losses[wrong].sort(descending=True).values)


def test_a_label_that_no_image_has_has_no_average_precision() -> None:
    labels = torch.zeros(4, 3, dtype=torch.uint8)
    labels[:2, 0] = 1
    evaluation = LabelEvaluation("test", NAMES, LabelPredictions(torch.full((4, 3), -1.0), labels))
    assert [each.recall for each in evaluation.classes] == [0.0, None, None]
    assert evaluation.classes[1].average_precision is None
    assert evaluation.mean_average_precision == pytest.approx(0.5)
    assert "always 'no label': 50.0%" in str(evaluation)


def test_margins_decide_label_by_label() -> None:
    decision = LabelDecision((0.0, 2.0, -1.0), rule="given")
    logits = np.array([[0.0, 1.9, -0.5], [-0.1, 2.0, -1.1]], np.float32)
    assert chosen_labels(decision, logits).tolist() == [[1, 0, 1], [0, 1, 0]]
    assert np.allclose(label_probabilities(np.array([[-800.0, 0.0, 800.0]])), [[0, 0.5, 1]])


def test_labels_without_a_threshold_of_their_own_are_named() -> None:
    decision = LabelDecision((0.0, 1.0, 0.0), rule="recall 0.8", num_images=40, at_half=(0, 2))
    assert "40 validation images, one half for 'dim', 'top': too few images with or without these" in decision.describe(
        NAMES
    )
    assert "too few" not in LabelDecision((0.0, 1.0, 0.0), rule="f1", num_images=40).describe(NAMES)


def test_the_gradient_is_as_long_as_with_cross_entropy() -> None:
    for num_labels in (2, 30):
        logits = torch.zeros(1, num_labels, requires_grad=True)
        labels = torch.zeros(1, num_labels, dtype=torch.uint8)
        (label_losses(logits, labels).mean() * gradient_scale(num_labels)).backward()
        assert float(logits.grad.norm()) == pytest.approx(1)  # type: ignore[union-attr]


def test_smoothing_leaves_no_label_certain() -> None:
    labels = torch.tensor([[1, 0]], dtype=torch.uint8)
    logits = torch.tensor([[np.log(0.95 / 0.05), -np.log(0.95 / 0.05)]], dtype=torch.float32)
    smoothed = [float(label_losses(logits * factor, labels, label_smoothing=0.1)) for factor in (0.9, 1.0, 1.1)]
    assert min(smoothed) == smoothed[1]


def test_it_learns_and_says_so(label_run: Run) -> None:
    metrics = label_run.metrics
    assert metrics["test_mean_average_precision"] > 0.6
    mean, micro, macro = (
        metrics[f"test_{name}_interval"] for name in ("mean_average_precision", "micro_f1", "macro_f1")
    )
    (line,) = metrics_over_classes(metrics)
    assert line.startswith(
        f"mean average precision {metrics['test_mean_average_precision']:.3f} [{mean[0]:.3f}, {mean[1]:.3f}], "
        f"micro F1 {metrics['test_micro_f1']:.2%} [{micro[0]:.1%}, {micro[1]:.1%}], "
        f"macro F1 {metrics['test_macro_f1']:.2%} [{macro[0]:.1%}, {macro[1]:.1%}]; always "
    )
    assert [each["class_name"] for each in metrics["classes"]] == list(NAMES)
    for each in metrics["classes"]:
        low, high = each["intervals"]["recall"]
        assert low <= each["recall"] <= high
    assert metrics["threshold_rule"] == "f1"
    assert metrics["test_accuracy"] == label_run.card.metrics["test_accuracy"]  # type: ignore[index]
    assert [record.val_accuracy is not None for record in label_run.history] == [True, True]


def test_the_card_comes_back(label_run: Run) -> None:
    values = card_to_dict(label_run.card)
    assert values["format"] == 3
    assert card_from_dict(json.loads(json.dumps(values)), name="x") == label_run.card
    for wrong, expected in (
        ({"margins": [0.0]}, "1 margins for 3 labels"),
        ({"margins": [0.0, 1e12, 0.0]}, "the margin of a label is 1000000000000.0"),
        ({"margins": [0.0, 0.0, 0.0], "num_images": -1}, "thresholds were picked on -1 images"),
    ):
        values["label_decision"] = {**values["label_decision"], **wrong}
        with pytest.raises(RunError, match=expected):
            card_from_dict(values, name="x")


def test_it_is_never_unsure(label_run: Run) -> None:
    assert label_run.config.decisions.unsure == "auto"
    assert label_run.card.unsure is None
    assert "unsure_below" not in label_run.metrics
    unsure = Unsure(confidence=0.5, most_error=0.4, num_images=300, num_unsure=30, error=0.5)
    with pytest.raises(RunError, match="it has two rules of how it answers"):
        card_from_dict(card_to_dict(replace(label_run.card, unsure=unsure)), name="x")


def test_evaluate_gives_the_run_s_figures(label_run: Run) -> None:
    done = evaluate_trained(label_run)
    assert done.to_dict()["accuracy"] == label_run.metrics["test_accuracy"]
    assert "mean average precision" in str(done)
    with pytest.raises(ConfigError, match="temperature is asked for, but"):
        evaluate_trained(label_run, temperature=True)


def test_views_are_averaged_and_answered_as_one(label_run: Run) -> None:
    dataset, decision = label_run.load_dataset(), label_run.card.label_decision
    flip = dataset.flip_keeps_labels
    logits = predict_tta(label_run.model, dataset.test.images, mean=dataset.mean, std=dataset.std, flip=flip)
    assert decision is not None
    answered = logits.numpy() >= np.array(decision.margins)
    labels = dataset.test.labels.numpy()
    done = evaluate_trained(label_run, tta=True)
    assert done.tta_accuracy == pytest.approx((answered == labels).all(axis=1).mean())
    expected = average_precision_score(labels, logits.numpy(), average="macro")
    assert done.to_dict()["tta_mean_average_precision"] == pytest.approx(expected)
    assert f"mean average precision {expected:.4f}" in str(done).splitlines()[-1]


def test_all_labels_must_be_right_under_corruptions(label_run: Run) -> None:
    dataset = label_run.load_dataset()
    mute = LabelDecision((1e8,) * 3, rule="given")
    measured = measure_robustness(label_run.model, dataset, decision=mute)
    without_label = float((dataset.test.labels.sum(dim=1) == 0).double().mean())
    assert 0 < without_label < 1
    assert [measured.accuracy, *(row.accuracy for row in measured.rows)] == pytest.approx(
        [without_label] * (1 + len(measured.rows))
    )
    with pytest.raises(ConfigError, match="decision is Decision, but an image has several labels"):
        measure_robustness(label_run.model, dataset, decision=Decision(0, 0.5, 0.0, rule="given"))


def test_the_run_keeps_its_robustness(label_run: Run) -> None:
    kept = read_robustness(RunDir(label_run.path))
    assert kept is not None
    assert kept.accuracy == label_run.metrics["test_accuracy"]
    assert len({row.accuracy for row in kept.rows}) > 1
    report = (label_run.path / "report.html").read_text()
    assert '<section id="robustness"' in report
    assert f"(all labels of a picture right) on all {kept.num_images} test images" in report
    assert (label_run.path / "robustness.png").exists()


def test_predictions_csv_has_sets_of_labels(label_run: Run) -> None:
    rows = list(csv.DictReader((label_run.path / "predictions.csv").read_text().splitlines()))
    is_right = [row["labels"] == row["predicted_labels"] for row in rows]
    assert sum(is_right) / len(rows) == pytest.approx(label_run.metrics["test_accuracy"])
    assert {"p_dim", "p_left", "p_top"} <= rows[0].keys()


def pictures(folder: Path) -> list[Path]:
    files = [folder / f"{index}.png" for index in range(8)]
    for index, file in enumerate(files):
        Image.fromarray(np.full((16, 16), 30 * index, np.uint8)).save(file)
    return files


def test_predict_answers_with_labels(label_run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = [str(file) for file in pictures(tmp_path)]
    command = ["predict", *files, "--run", str(label_run.path)]
    main([*command, "--json"])
    predictions = json.loads(capsys.readouterr().out)["predictions"]
    thresholds = dict(zip(NAMES, label_run.card.label_decision.thresholds, strict=True))  # type: ignore[union-attr]
    for each in predictions:
        expected = {
            guess["class_name"] for guess in each["top"] if guess["probability"] >= thresholds[guess["class_name"]]
        }
        assert set(each["labels"]) == expected
    main([*command, "--csv"])
    rows = list(csv.DictReader(capsys.readouterr().out.splitlines()))
    assert [row["labels"] for row in rows] == [";".join(each["labels"]) for each in predictions]
    main(command)
    lines = capsys.readouterr().out.splitlines()[-len(files) :]
    assert all(
        f": {'; '.join(each['labels']) or 'no label'} (" in line for line, each in zip(lines, predictions, strict=True)
    )
    assert main([*command, "--sort-into", str(tmp_path / "sorted")]) != 0
    assert "a picture has no one folder" in capsys.readouterr().err


@pytest.mark.parametrize("form", ["onnx", "onnx-int8"])
def test_onnx_files_answer_with_labels(label_run: Run, tmp_path: Path, form: str) -> None:
    result = export_model(label_run.path, form, out=tmp_path / "model.onnx", max_drop=1.0 if form != "onnx" else None)
    session = onnxruntime.InferenceSession(str(result.path))
    images = np.random.default_rng(0).integers(0, 255, (5, 16, 16, 1), np.uint8)
    logits, probabilities, answers = session.run(["logits", "probabilities", "answers"], {"images": images})
    assert np.allclose(probabilities, label_probabilities(logits), atol=1e-6)
    assert answers.shape == (5, 3)
    predictor = load_exported(result.path)
    files = pictures(tmp_path)
    own = predict(label_run, files) if form == "onnx" else predictor.predict(files)
    found = predictor.predict(files)
    assert [each.labels for each in found] == [each.labels for each in own]
    assert [each.answer for each in found] == [";".join(each.labels or ()) for each in own]


@pytest.mark.parametrize("form", ["c", "tflite"])
def test_other_formats_refuse_with_a_reason(label_run: Run, tmp_path: Path, form: str) -> None:
    with pytest.raises(ExportError, match="may have several labels") as caught:
        export_model(label_run.path, form, out=tmp_path / "out")
    assert "onnx" in caught.value.hint


def test_the_report_shows_each_label_and_what_is_wrong(label_run: Run, tmp_path: Path) -> None:
    own = (label_run.path / "report.html").read_text()
    again = write_report(label_run.path, tmp_path / "again.html").read_text()
    assert again == own
    num_wrong = round(label_run.metrics["num_test"] * (1 - label_run.metrics["test_accuracy"]))
    assert own.count("<figure><img") == num_wrong
    assert all(f'<th scope="row" data-value="{name}">' in own for name in NAMES)
    table = own.partition('<table id="class-table">')[2].partition("</table>")[0]
    assert table.count("<small>") >= 2 * len(NAMES)  # below recall and F1, and precision where a label is answered
    assert ("missed: " in own or "added: " in own) == (num_wrong > 0)


def test_the_report_says_what_the_training_began_with(label_run: Run, tmp_path: Path) -> None:
    folder = RunDir(shutil.copytree(label_run.path, tmp_path / "run"))
    choice = InitChoice(None, "init: new weights; those of sprint were not tried.", 36)
    folder.write_checked(files_of_init(choice))
    assert choice.reason in write_report(folder.path).read_text()
    (folder.path / "metrics.json").unlink()
    (folder.path / "report.html").unlink()
    resume(folder.path, log_style="silent")
    assert choice.reason in (folder.path / "report.html").read_text()


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"class_weights": "balanced"}, "class_weights is given"),
        ({"sampler": "balanced"}, "sampler is given"),
        ({"threshold": "f1", "positive": "left"}, "positive is given"),
        ({"costs": {"left": 2}}, "costs is given"),
        ({"unsure": 0.3}, "unsure is given"),
        ({"unknown": 0.05}, "unknown is given"),
    ],
)
def test_fields_of_one_label_are_refused(label_run: Run, tmp_path: Path, fields: dict[str, Any], expected: str) -> None:
    data = label_run.path.parent / "own.npz"
    with pytest.raises(ConfigError, match=expected):
        train(small_config(data, **{"val_fraction": "auto", **fields}), run_dir=tmp_path / "run", log_style="silent")
    assert not (tmp_path / "run").exists()


def test_a_plan_chooses_everything(label_run: Run) -> None:
    config = small_config(label_run.path.parent / "own.npz", val_fraction="auto", augmentation="auto")
    planned = FakeTime(step_s=0.5).plan(config.replace(epochs=None, minutes=1.0))
    assert planned.record.facts.has_several_labels
    assert planned.config.inputs.augmentation in ("shift-flip", "shift2-flip", "strong")
    assert any("3 labels of" in reason for reason in planned.record.reasons)


def test_models_and_data_of_other_kinds_do_not_fit(label_run: Run) -> None:
    images = np.random.default_rng(0).integers(0, 255, (40, 16, 16), np.uint8)
    one = dataset_from_arrays(images, np.arange(40) % 3, class_names=NAMES)
    with pytest.raises(RunError, match="trained on several labels a picture, or none, but the data has one"):
        evaluate_trained(label_run, dataset=one)


def test_seeds_have_figures_and_a_report_over_all(
    label_run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = small_config(label_run.path.parent / "own.npz", val_fraction="auto")
    runs = train_seeds(config, num_seeds=2, run_dir=tmp_path / "seeds", log_style="auto")
    assert [(run.path / "report.html").exists() for run in runs.runs] == [True, True]
    figures = evaluate_seeds(runs.path).figures
    expected = [run.metrics["test_mean_average_precision"] for run in runs.runs]
    assert figures["mean_average_precision"].mean == pytest.approx(np.mean(expected))
    row = next(row for row in list_runs(runs.path) if row.path == str(runs.path))
    assert row.mean_average_precision == pytest.approx(np.mean(expected))
    assert row.mean_average_precision_low == max(0, runs.metrics["figures"]["test_mean_average_precision"]["low"])
    recipes = compare_seeds([runs.path, shutil.copytree(runs.path, tmp_path / "again")])
    assert recipes.accuracies[0].mean == pytest.approx(runs.metrics["test_accuracy"])
    assert recipes.comparisons[0].difference == 0
    page = (runs.path / "report.html").read_text()
    assert write_report(runs.path, tmp_path / "again.html").read_text() == page
    mean = figures["mean_average_precision"]
    assert mean.low is not None
    assert f"<dt>mean average precision</dt><dd>{mean.mean:.4f}<small>±" in page
    assert f"95\u00a0% interval {max(0, mean.low):.4f} to" in page
    for run in runs.runs:
        assert f"<td>{run.metrics['test_mean_average_precision']:.4f}</td>" in page
        assert f"<td>{100 * run.metrics['test_hamming_loss']:.2f} %</td>" in page
    for each in evaluate_seeds(runs.path).classes:
        assert f'<th scope="row" data-value="{each.class_name}">' in page
        assert f"{100 * each.precision.mean:.1f}\u00a0% ±" in page
    assert "Label by label" in page
    assert '<section id="confusion"' not in page
    stored = [RunDir(run.path).read_any_predictions() for run in runs.runs]
    num_wrong = torch.stack([~each.right for each in stored]).sum(0)
    assert int(num_wrong.max()) > 0
    assert f"<td>{int(num_wrong.max())} of 2</td>" in page


def test_runs_are_listed_with_their_mean_average_precision(label_run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    (row,) = list_runs(label_run.path)
    values = label_run.metrics
    assert row.mean_average_precision == values["test_mean_average_precision"]
    bounds = [row.mean_average_precision_low, row.mean_average_precision_high]
    assert bounds == values["test_mean_average_precision_interval"]
    assert main(["runs", str(label_run.path)]) == 0
    head, line = capsys.readouterr().out.splitlines()
    assert "mean AP (95%)" in head
    assert "area (95%)" not in head
    shown = "{:.3f} ({:.3f} to {:.3f})".format(row.mean_average_precision, *bounds)
    assert line[head.index("mean AP (95%)") :].startswith(shown)
    assert main(["runs", str(label_run.path), "--csv"]) == 0
    (listed,) = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert float(listed["mean_average_precision"]) == row.mean_average_precision
    assert main(["runs", str(label_run.path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["runs"][0]["mean_average_precision_low"] == bounds[0]


def test_the_run_opens_again(label_run: Run) -> None:
    again = load_run(label_run.path)
    assert again.card.has_several_labels
    assert again.card.label_decision == label_run.card.label_decision


def fitted(dataset: Dataset, **arguments: Any) -> tuple[nn.Module, list[TrainingState]]:
    """A network that was trained for two epochs, and the states that it had after each."""
    states: list[TrainingState] = []
    model = create_with_options("sprint", {"blocks": "c8p"}, num_classes=3, in_channels=1, image_size=(16, 16), seed=0)
    fit(
        model,
        dataset,
        epochs=2,
        batch_size=16,
        optimizer=SGD(lr=0.05),
        engine=Engine(device="cpu", kernels="pytorch"),
        scorers=label_scorers(dataset, "val"),
        progress=Silent(),
        on_epoch_end=states.append,
        **arguments,
    )
    return model, states


def test_it_goes_on_to_the_bit(label_run: Run) -> None:
    dataset = label_run.load_dataset()
    whole, states = fitted(dataset, objective=Objective(mixup=0.4, label_smoothing=0.1))
    resumed, _ = fitted(dataset, objective=Objective(mixup=0.4, label_smoothing=0.1), resume_from=states[0])
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name


def test_a_folder_s_labels_are_resolved(tmp_path: Path) -> None:
    labels = [("left", "right", "left;right", "")[index % 4] for index in range(40)]
    (tmp_path / "data").mkdir()
    for index in range(40):
        pixels = np.random.default_rng(index).integers(0, 255, (16, 16), np.uint8)
        Image.fromarray(pixels).save(tmp_path / "data" / f"{index:02}.png")
    rows = [f"{index:02}.png,{label}" for index, label in enumerate(labels)]
    (tmp_path / "data" / "labels.csv").write_text("\n".join(["path,labels", *rows]))
    config = small_config(tmp_path / "unused.npz").replace(data=f"folder:{tmp_path / 'data'}", image_size=16)
    run = train(config, run_dir=tmp_path / "run", log_style="silent", pictures=False)
    assert (run.config.labels, run.config.report_robustness) == ("file", True)
    assert run.card.class_names == ("left", "right")
    assert evaluate_trained(run).to_dict()["accuracy"] == run.metrics["test_accuracy"]
