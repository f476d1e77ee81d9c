"""When a model's answer is unsure: how the confidence is picked, what a card refuses, and that all verbs say so."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from small_runs import small_config, write_small_data
from thumbnet.cli import main
from thumbnet.errors import ConfigError, DataError, RunError
from thumbnet.evaluation.intervals import accuracy_interval
from thumbnet.evaluation.predictions import Predictions
from thumbnet.evaluation.sorted_pictures import PictureSorter, name_of_answer
from thumbnet.evaluation.unsure import MIN_IMAGES, pick_unsure, when_sure
from thumbnet.models.card import answer_rule, card_from_dict, card_to_dict
from thumbnet.models.unsure import Unsure, unsure_answers
from thumbnet.runs.evaluate import evaluate_trained
from thumbnet.runs.predict import predict
from thumbnet.runs.results import write as results
from thumbnet.runs.run import Run, RunDir
from thumbnet.runs.train import train
from thumbnet.runs.write_report import write_report
from thumbnet.specs.decisions import Decisions

RULE = Unsure(confidence=0.9, most_error=0.4, num_images=300, num_unsure=50, error=0.6)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run that is unsure of about half of its test images, as if validation had said so."""
    folder = tmp_path_factory.mktemp("unsure")
    data = write_small_data(folder / "data.npz")

    def middle(config: object, held_out: Predictions) -> Unsure:
        return replace(RULE, confidence=float(held_out.confidence.median()))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(results, "decide_unsure", middle)
        config = small_config(data, val_fraction=0.25)
        return train(config, run_dir=folder / "run", log_style="silent", pictures=False)


def predictions_of(confidence: np.ndarray, right: np.ndarray) -> Predictions:
    """Of two classes, of which the first is always the likelier."""
    logits = np.stack([np.log(confidence / (1 - confidence)), np.zeros(len(confidence))], axis=1)
    return Predictions(torch.from_numpy(logits.astype(np.float32)), torch.from_numpy((~right).astype(np.int64)))


def drawn(share_right: Callable[[np.ndarray], np.ndarray], num_images: int = 2000) -> Predictions:
    generator = np.random.default_rng(0)
    confidence = generator.uniform(0.5, 1, num_images)
    return predictions_of(confidence, generator.random(num_images) < share_right(confidence))


def test_the_confidence_is_where_answers_are_wrong_too_often() -> None:
    steep = drawn(lambda confidence: np.where(confidence < 0.7, 0.3, 0.95))
    unsure = pick_unsure(steep, 0.4)
    assert unsure is not None
    assert unsure.confidence == pytest.approx(0.7, abs=0.01)
    assert unsure.error == pytest.approx(0.7, abs=0.05)
    assert unsure.num_unsure == pytest.approx(800, abs=60)
    confidence = steep.confidence.double().numpy()
    assert unsure.num_unsure == (confidence < unsure.confidence).sum()
    ordered = np.sort(confidence)
    assert unsure.confidence == pytest.approx(ordered[[unsure.num_unsure - 1, unsure.num_unsure]].mean(), abs=1e-6)
    sure = when_sure(steep, unsure)
    assert sure.share == unsure.num_unsure / 2000
    assert sure.accuracy == pytest.approx(0.95, abs=0.02)


def test_a_calibrated_model_is_unsure_where_it_should_be() -> None:
    for most_error, expected in ((0.4, 0.6), (0.2, 0.8)):
        unsure = pick_unsure(drawn(lambda confidence: confidence, 20_000), most_error)
        assert unsure is not None
        assert unsure.confidence == pytest.approx(expected, abs=0.03)


def test_without_evidence_the_answer_is_never_unsure() -> None:
    steep = drawn(lambda confidence: np.where(confidence < 0.7, 0.3, 0.95))
    few = Predictions(steep.logits[: MIN_IMAGES - 1], steep.labels[: MIN_IMAGES - 1])
    assert pick_unsure(few, 0.4) is None
    assert pick_unsure(Predictions(steep.logits[:MIN_IMAGES], steep.labels[:MIN_IMAGES]), 0.4) is not None
    assert pick_unsure(drawn(lambda confidence: np.full(len(confidence), 0.9)), 0.4) is None  # confidence says nothing
    assert pick_unsure(drawn(lambda confidence: np.full(len(confidence), 0.1)), 0.4) is None  # all is wrong
    rare = drawn(lambda confidence: np.where(confidence < 0.503, 0.0, 0.95))
    assert 10 < int((rare.confidence < 0.503).sum()) < 20
    assert pick_unsure(rare, 0.4) is None


def test_only_lower_confidence_is_unsure() -> None:
    probabilities = np.array([[0.89, 0.11], [0.9, 0.1], [0.2, 0.8], [0.05, 0.95]])
    assert unsure_answers(RULE, probabilities).tolist() == [True, False, True, False]
    assert unsure_answers(None, probabilities).tolist() == [False] * 4


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"unsure": 0.01}, "unsure is 0.01"),
        ({"unsure": 0.95}, "unsure is 0.95"),
        ({"unsure": 0.3, "threshold": "f1"}, "unsure is 0.3, but threshold is 'f1'"),
    ],
)
def test_what_makes_no_sense_is_refused(settings: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        Decisions(**settings)


def test_the_error_that_is_too_much() -> None:
    assert Decisions().most_unsure_error == 0.4
    assert Decisions(unsure="off").most_unsure_error is None
    assert Decisions(unsure=0.25).most_unsure_error == 0.25
    assert Decisions(threshold="f1").most_unsure_error is None


def test_a_number_needs_enough_validation_images(tmp_path: Path) -> None:
    config = small_config(write_small_data(tmp_path / "data.npz"), unsure=0.3, val_fraction=0.25)
    with pytest.raises(DataError, match=r"unsure is 0\.3, which is judged on 200 or more validation images"):
        train(config, run_dir=tmp_path / "run", log_style="silent", pictures=False)
    assert not (tmp_path / "run").exists()


def test_a_card_keeps_it_in_a_later_format(run: Run) -> None:
    values = json.loads((run.path / "model.json").read_text())
    assert values["format"] == 3
    assert run.card.unsure is not None
    assert values["unsure"]["confidence"] == run.card.unsure.confidence
    assert card_from_dict(values, name="model.json") == run.card
    assert answer_rule(run.card).startswith("'unsure' where no class has a probability of ")
    plain = card_to_dict(replace(run.card, unsure=None))
    assert plain["format"] == 2
    assert "unsure" not in plain
    assert answer_rule(replace(run.card, unsure=None)) == ""


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"confidence": 1.0}, "unsure.confidence is 1.0"),
        ({"most_error": 0.0}, "unsure.most_error is 0.0"),
        ({"error": 1.5}, "unsure.error is 1.5"),
        ({"num_unsure": 301}, "301 of 300 images"),
        ({"confidence": "high"}, "unsure is"),
    ],
)
def test_what_cannot_be_is_damage(run: Run, change: dict[str, Any], told: str) -> None:
    values = card_to_dict(run.card)
    values["unsure"] = {**values["unsure"], **change}
    with pytest.raises(RunError, match=told):
        card_from_dict(values, name="model.json")


def test_metrics_tell_both_and_the_accuracy_stays(run: Run) -> None:
    unsure = run.card.unsure
    assert unsure is not None
    stored = RunDir(run.path).read_predictions()
    is_sure = stored.confidence.double() >= unsure.confidence
    assert 0.1 < float(is_sure.double().mean()) < 0.9
    assert run.metrics["share_unsure"] == pytest.approx(1 - float(is_sure.double().mean()))
    assert run.metrics["accuracy_when_sure"] == pytest.approx(float(stored.right[is_sure].double().mean()))
    assert run.metrics["test_accuracy"] == pytest.approx(float(stored.right.double().mean()))
    evaluation = evaluate_trained(run)
    assert evaluation.to_dict()["share_unsure"] == run.metrics["share_unsure"]
    share, (low, high) = run.metrics["share_unsure"], run.metrics["share_unsure_interval"]
    assert (low, high) == pytest.approx(accuracy_interval(share, len(stored)))
    assert f"here {share:.2%} ({100 * low:.1f} to {100 * high:.1f}) are, " in str(evaluation)
    of_others = accuracy_interval(run.metrics["accuracy_when_sure"], int(is_sure.sum()))
    assert run.metrics["accuracy_when_sure_interval"] == pytest.approx(of_others)


def test_the_report_marks_the_confidence(run: Run, tmp_path: Path) -> None:
    text = write_report(run.path, tmp_path / "report.html").read_text()
    assert "where no class has a probability of" in text
    assert 'class="mark"' in text


@pytest.fixture(scope="module")
def pictures(run: Run, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The test pictures that the model is least and most sure of."""
    folder, test = tmp_path_factory.mktemp("pictures"), run.load_dataset().test
    order = RunDir(run.path).read_predictions().confidence.argsort()
    paths = folder / "least.png", folder / "most.png"
    for path, index in zip(paths, (order[0], order[-1]), strict=True):
        Image.fromarray(test.images[int(index), 0].numpy()).save(path)
    return paths


def test_predictions_say_so(run: Run, pictures: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    for source in (run, run.path):
        least, most = predict(source, list(pictures))
        assert (least.is_unsure, most.is_unsure) == (True, False)
        assert (least.answer, most.answer) == ("unsure", most.class_name)
        assert least.class_name in run.card.class_names
    command = ["predict", *map(str, pictures), "--run", str(run.path)]
    assert main(command) == 0
    lines = capsys.readouterr().out.splitlines()
    assert f"least.png: unsure ({least.class_name} " in lines[1]
    assert f"most.png: {most.class_name} " in lines[2]
    assert main([*command, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["predictions"]
    assert [one["answer"] for one in found] == ["unsure", most.class_name]
    assert set(found[0]) == {"path", "class_name", "probability", "top", "answer"}
    assert main([*command, "--csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["answer"] for row in rows] == ["unsure", most.class_name]


def test_unsure_pictures_are_sorted_apart(run: Run, pictures: tuple[Path, Path], tmp_path: Path) -> None:
    assert main(["predict", *map(str, pictures), "--run", str(run.path), "--sort-into", str(tmp_path / "sorted")]) == 0
    assert (tmp_path / "sorted" / "unsure" / "least.png").is_file()
    assert not (tmp_path / "sorted" / "unsure" / "most.png").exists()


def test_a_class_called_unsure_has_its_own_folder(tmp_path: Path) -> None:
    (tmp_path / "a.png").touch()
    sorter = PictureSorter(tmp_path / "sorted", ("unsure", "cat"), other_answers=("unsure",))
    own, none = (sorter.add(tmp_path / "a.png", "unsure", other_answer=word) for word in (None, "unsure"))
    assert own.parent.name == "unsure" != none.parent.name
    assert name_of_answer("unsure", ("unsure", "unsure (no class)")) not in ("unsure", "unsure (no class)")


def test_runs_of_earlier_versions_stay_as_sure() -> None:
    from thumbnet.specs.renamed import with_values_of_old_runs

    assert with_values_of_old_runs({})["unsure"] == "off"
    assert with_values_of_old_runs({"unsure": "auto"})["unsure"] == "auto"
