"""The answer 'unknown' in a run: what is refused before a training, what the card keeps, and that all verbs say so."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from random_exports import random_dataset, random_network
from small_runs import small_config, write_small_data
from thumbnet.cli import main
from thumbnet.errors import ConfigError, DataError, ExportError, ModelError, RunError
from thumbnet.evaluation import unknown as evaluation_unknown
from thumbnet.evaluation.image_answers import ImagePrediction
from thumbnet.evaluation.intervals import accuracy_interval
from thumbnet.evaluation.sorted_pictures import PictureSorter
from thumbnet.evaluation.unknown import check_images, check_network
from thumbnet.export.export import export_model
from thumbnet.export.formats import FORMATS, ExportFormat
from thumbnet.export.html.facts import headlines
from thumbnet.export.model_card.sections import sections
from thumbnet.export.reference import reference_outputs
from thumbnet.models.architecture import Architecture
from thumbnet.models.card import answer_rule, card_from_dict, card_to_dict
from thumbnet.models.decision import Decision
from thumbnet.models.label_decision import halves
from thumbnet.models.program_numpy import run_program
from thumbnet.models.unknown import Unknown, distances_by, unknown_answers
from thumbnet.models.unsure import Unsure
from thumbnet.recipes import load_recipe
from thumbnet.runs.evaluate import evaluate_trained
from thumbnet.runs.planning.ladder import DataFacts
from thumbnet.runs.planning.times import Times
from thumbnet.runs.predict import predict
from thumbnet.runs.results import write as results
from thumbnet.runs.run import Run, RunDir
from thumbnet.runs.shippable import load_shippable
from thumbnet.runs.train import train
from thumbnet.runs.write_report import write_report
from thumbnet.specs.decisions import Decisions
from thumbnet.trained.predictor import Predictor, program_predictor

SHARE = 0.2
UNSURE = Unsure(confidence=0.9, most_error=0.4, num_images=300, num_unsure=50, error=0.6)


def patch_least_numbers(patch: pytest.MonkeyPatch) -> None:
    """The ten validation images of a small run are then enough."""
    patch.setattr(evaluation_unknown, "MIN_IMAGES", 5)
    patch.setattr(evaluation_unknown, "MIN_BEYOND", 1)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run that may refuse two of its ten validation images."""
    folder = tmp_path_factory.mktemp("unknown")
    data = write_small_data(folder / "data.npz")
    with pytest.MonkeyPatch.context() as patch:
        patch_least_numbers(patch)
        config = small_config(data, unknown=SHARE, val_fraction=0.25)
        return train(config, run_dir=folder / "run", log_style="silent", pictures=False)


def rule_of(run: Run) -> Unknown:
    assert run.card.unknown is not None
    return run.card.unknown


def distances_in(run: Run, split: str) -> np.ndarray:
    """By the folded network on NumPy."""
    shippable = load_shippable(run.path)
    assert shippable.program is not None
    images = run.load_dataset().split(split).images.numpy()
    return distances_by(rule_of(run), run_program(shippable.program, images).features)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"unknown": 0.0005}, "unknown is 0.0005"),
        ({"unknown": 0.25}, "unknown is 0.25"),
    ],
)
def test_what_makes_no_sense_is_refused(settings: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        Decisions(**settings)


def test_it_is_off_unless_a_recipe_asks_for_it() -> None:
    assert load_recipe("quick", settings=["unknown=off"]).decisions.share_unknown is None
    assert load_recipe("quick", settings=["unknown=0.05"]).decisions.share_unknown == 0.05
    with pytest.raises(ConfigError, match="unknown"):
        load_recipe("quick", settings=["unknown=auto"])
    assert Decisions().share_unknown is None
    assert Decisions(unknown=0.05, threshold="f1").share_unknown == 0.05
    assert Decisions(unknown=0.05).most_unsure_error == 0.4


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({}, r"unknown is 0\.2, which is judged on 200 or more validation images, but 10 are held out"),
        ({"val_fraction": 0.0}, "but 0 are held out"),
    ],
)
def test_too_few_images_are_refused_before_the_training(tmp_path: Path, fields: dict[str, Any], told: str) -> None:
    config = small_config(write_small_data(tmp_path / "data.npz"), **{"val_fraction": 0.25, "unknown": SHARE, **fields})
    with pytest.raises(DataError, match=told):
        train(config, run_dir=tmp_path / "run", log_style="silent", pictures=False)
    assert not (tmp_path / "run").exists()


def test_other_networks_are_refused_before_the_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    patch_least_numbers(monkeypatch)
    data = write_small_data(tmp_path / "data.npz")
    config = small_config(data, model="resnet8", model_options={}, unknown=SHARE, val_fraction=0.25)
    with pytest.raises(ConfigError, match="the last maps of a network of blocks"):
        train(config, run_dir=tmp_path / "run", log_style="silent", pictures=False)
    assert not (tmp_path / "run").exists()


def test_too_many_numbers_and_classes_without_images_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    patch_least_numbers(monkeypatch)
    dataset = random_dataset((3, 8, 8), 4)
    check_images(dataset, SHARE)
    check_network(random_network("c8", dataset), num_classes=512)
    with pytest.raises(ConfigError, match="means of 513 classes in 8 features, and a card takes 4,096 numbers"):
        check_network(random_network("c8", dataset), num_classes=513)
    with pytest.raises(DataError, match="class 'never' has no training images"):
        check_images(replace(dataset, class_names=(*dataset.class_names, "never")), SHARE)


def test_the_card_keeps_the_rule_in_a_later_format(run: Run) -> None:
    values = json.loads((run.path / "model.json").read_text())
    assert values["format"] == 3
    rule = rule_of(run)
    assert (len(rule.means), len(rule.deviations)) == (2, 8)
    assert (rule.share, rule.num_images, rule.num_unknown) == (SHARE, 10, 2)
    assert card_from_dict(values, name="model.json") == run.card
    assert answer_rule(run.card).startswith("'unknown' where a picture is further than ")
    assert answer_rule(run.card).endswith("as 2 of 10 validation images are")
    assert "; else 'unsure' where no class has" in answer_rule(replace(run.card, unsure=UNSURE))
    plain = card_to_dict(replace(run.card, unknown=None))
    assert plain["format"] == 2
    assert "unknown" not in plain


def test_the_limit_is_that_of_the_validation_images(run: Run) -> None:
    assert unknown_answers(rule_of(run), distances_in(run, "val")).sum() == 2


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"limit": 0.0}, "unknown.limit is 0.0"),
        ({"limit": float("nan")}, "unknown is"),
        ({"means": [[0.0] * 8]}, "of 1 classes, not 2"),
        ({"means": [[0.0] * 7] * 2}, "not of 8 features"),
        ({"deviations": [1.0] * 7}, "of 7 features, not 8"),
        ({"deviations": [1.0] * 7 + [-1.0]}, "deviations is below"),
        ({"num_unknown": 10}, "10 of 10 images"),
        ({"means": "far"}, "unknown is"),
    ],
)
def test_what_cannot_be_is_damage(run: Run, change: dict[str, Any], told: str) -> None:
    values = card_to_dict(run.card)
    values["unknown"] = {**values["unknown"], **change}
    with pytest.raises(RunError, match=told):
        card_from_dict(values, name="model.json")


def test_it_may_stand_beside_a_threshold_and_not_beside_labels(run: Run) -> None:
    by_threshold = replace(run.card, decision=Decision(0, 0.5, 0.0, "given"))
    assert card_from_dict(card_to_dict(by_threshold), name="model.json") == by_threshold
    with pytest.raises(RunError, match="it has two rules of how it answers"):
        card_from_dict(card_to_dict(replace(run.card, label_decision=halves(2))), name="model.json")
    for architecture in (None, Architecture("no blocks", 0, False)):
        with pytest.raises(RunError, match="it has unknown, but is no network of blocks"):
            card_from_dict(card_to_dict(replace(run.card, architecture=architecture)), name="model.json")


def test_metrics_tell_it_and_the_accuracy_stays(run: Run) -> None:
    stored = RunDir(run.path).read_predictions()
    is_unknown = torch.from_numpy(unknown_answers(rule_of(run), distances_in(run, "test")))
    assert run.metrics["unknown_beyond"] == rule_of(run).limit
    assert run.metrics["share_unknown"] == pytest.approx(float(is_unknown.double().mean()))
    assert run.metrics["accuracy_when_known"] == pytest.approx(float(stored.right[~is_unknown].double().mean()))
    assert run.metrics["test_accuracy"] == pytest.approx(float(stored.right.double().mean()))
    evaluation = evaluate_trained(run)
    share, (low, high) = run.metrics["share_unknown"], run.metrics["share_unknown_interval"]
    assert (low, high) == pytest.approx(accuracy_interval(share, len(stored)))
    of_others = accuracy_interval(run.metrics["accuracy_when_known"], int((~is_unknown).sum()))
    assert run.metrics["accuracy_when_known_interval"] == pytest.approx(of_others)
    for name in ("unknown_beyond", "share_unknown", "accuracy_when_known"):
        assert evaluation.to_dict()[name] == pytest.approx(run.metrics[name])
    assert f"here {share:.2%} ({100 * low:.1f} to {100 * high:.1f}) are" in str(evaluation)
    scored = evaluate_trained(run, split="val").to_dict()
    assert scored["share_unknown"] == 0.2


def test_a_run_without_it_tells_nothing_of_it(small_run: Path) -> None:
    assert "unknown" not in (small_run / "metrics.json").read_text()
    assert "unknown" not in json.loads((small_run / "model.json").read_text())


def test_the_report_says_it(run: Run, tmp_path: Path) -> None:
    text = write_report(run.path, tmp_path / "report.html").read_text()
    assert "where a picture is further than" in text
    assert "It finds pictures of" in text


@pytest.fixture(scope="module")
def pictures(run: Run, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A picture of another kind, and a test picture that is not."""
    folder, test = tmp_path_factory.mktemp("pictures"), run.load_dataset().test
    foreign = np.zeros((16, 16), np.uint8)
    foreign[:, ::2] = 255
    nearest = test.images[int(distances_in(run, "test").argmin()), 0].numpy()
    paths = folder / "stripes.png", folder / "own.png"
    for path, pixels in zip(paths, (foreign, nearest), strict=True):
        Image.fromarray(pixels).save(path)
    return paths


def test_predictions_say_so(run: Run, pictures: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    for source in (run, run.path):  # by PyTorch, and by NumPy
        stripes, own = predict(source, list(pictures))
        assert (stripes.is_unknown, own.is_unknown) == (True, False)
        assert (stripes.answer, own.answer) == ("unknown", own.class_name)
        assert stripes.class_name in run.card.class_names
    command = ["predict", *map(str, pictures), "--run", str(run.path)]
    assert main(command) == 0
    lines = capsys.readouterr().out.splitlines()
    assert f"stripes.png: unknown ({stripes.class_name} " in lines[1]
    assert f"own.png: {own.class_name} " in lines[2]
    assert main([*command, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["predictions"]
    assert [one["answer"] for one in found] == ["unknown", own.class_name]
    assert set(found[0]) == {"path", "class_name", "probability", "top", "answer"}
    assert main([*command, "--csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["answer"] for row in rows] == ["unknown", own.class_name]


def test_many_pictures_are_answered_alike(
    run: Run, pictures: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("thumbnet.cli.predict_verb.RUNTIME_FROM", 2)  # where ONNX Runtime would be taken
    assert main(["predict", *map(str, pictures), "--run", str(run.path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["predictions"]
    assert [one["answer"] == "unknown" for one in found] == [True, False]


def test_unknown_pictures_are_sorted_apart(run: Run, pictures: tuple[Path, Path], tmp_path: Path) -> None:
    assert main(["predict", *map(str, pictures), "--run", str(run.path), "--sort-into", str(tmp_path / "sorted")]) == 0
    assert (tmp_path / "sorted" / "unknown" / "stripes.png").is_file()
    assert not (tmp_path / "sorted" / "unknown" / "own.png").exists()


def test_a_class_called_unknown_has_its_own_folder(tmp_path: Path) -> None:
    (tmp_path / "a.png").touch()
    sorter = PictureSorter(tmp_path / "sorted", ("unknown", "cat"), other_answers=("unknown", "unsure"))
    words = (None, "unknown", "unsure")
    places = [sorter.add(tmp_path / "a.png", "unknown", other_answer=word) for word in words]
    assert [place.parent.name for place in places] == ["unknown", "unknown (no class)", "unsure"]


def test_unknown_goes_before_unsure(run: Run, pictures: tuple[Path, Path]) -> None:
    both = ImagePrediction("a.png", "cat", 0.4, (), is_unsure=True, is_unknown=True)
    assert both.answer == "unknown"
    assert replace(both, is_unknown=False).answer == "unsure"
    shippable = load_shippable(run.path)
    assert shippable.program is not None
    card = replace(shippable.card, unsure=replace(UNSURE, confidence=0.9999999))
    stripes, own = program_predictor(card, shippable.program).predict(list(pictures))
    assert (stripes.answer, own.answer) == ("unknown", "unsure")


def test_the_network_runs_once(run: Run, pictures: tuple[Path, Path]) -> None:
    shippable = load_shippable(run.path)
    assert shippable.program is not None
    predictor = program_predictor(shippable.card, shippable.program)

    def never(images: np.ndarray) -> np.ndarray:
        raise AssertionError("the distances come with the logits")

    assert replace(predictor, logits_of=never).predict(list(pictures))[0].is_unknown


def test_distances_are_those_of_the_original(run: Run) -> None:
    images = run.load_dataset().test.images.numpy()
    logits, distances = reference_outputs(load_shippable(run.path), images)
    assert distances is not None
    assert len(logits) == len(distances) == len(images)
    np.testing.assert_allclose(distances, distances_in(run, "test"), rtol=1e-4)
    many = np.concatenate([images] * 20)[:101]  # by PyTorch
    _, by_pytorch = reference_outputs(load_shippable(run.path), many)
    assert by_pytorch is not None
    np.testing.assert_allclose(by_pytorch[: len(images)], distances, rtol=1e-3)


def test_what_gives_no_distances_is_refused(run: Run) -> None:
    with pytest.raises(ModelError, match="nothing gives the distances of pictures"):
        Predictor(run.card, lambda images: np.zeros((len(images), 2), np.float32))


def test_formats_that_cannot_say_it_refuse_such_a_model(run: Run, tmp_path: Path) -> None:
    formats: dict[str, ExportFormat] = {name: FORMATS[name] for name in FORMATS.without_packages()}
    refusing = [name for name, each in formats.items() if not each.says_unknown]
    assert "tflite" in refusing
    for name in refusing:
        with pytest.raises(ExportError, match=f"may be 'unknown', and {name} would answer with a class instead"):
            export_model(run.path, name, out=tmp_path / name)
        assert not (tmp_path / name).exists()


def test_cards_and_pages_say_what_it_finds(run: Run) -> None:
    shippable = load_shippable(run.path)
    text = sections(shippable, files=["none"], command="thumbnet export RUN")
    assert "- **Unknown:** before that, the answer is 'unknown' where a picture is further than " in text
    assert "other things, photographed alike, it mostly takes for its classes" in text
    assert "whatever the picture shows" not in text
    plain = replace(shippable, card=replace(shippable.card, unknown=None))
    without = sections(plain, files=["none"], command="thumbnet export RUN")
    assert "**Unknown:**" not in without
    assert "whatever the picture shows" in without
    notes = [headline.note for headline in headlines(shippable)]
    assert "or 'unknown', for pictures unlike theirs" in notes


def test_a_training_that_failed_is_never_unknown_and_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    patch_least_numbers(monkeypatch)
    monkeypatch.setattr(results, "decide_unknown", lambda config, dataset, model: None)
    config = small_config(write_small_data(tmp_path / "data.npz"), unknown=SHARE, val_fraction=0.25)
    done = train(config, run_dir=tmp_path / "run", pictures=False)
    assert done.card.unknown is None
    assert "share_unknown" not in done.metrics
    assert "the answer is never unknown: the features of the training images tell nothing" in capsys.readouterr().err


def test_minutes_leave_time_for_the_distances() -> None:
    facts = DataFacts(30_000, 1000, 2000, (30_000,), 3, (32, 32), False)

    def end_s(*, measures_distances: bool) -> float:
        times = Times(0.0, 1.0, 1e-3, False, lambda: 0.0, measures_distances=measures_distances)
        return times.end_s(facts, 1e-3, (32, 32))

    assert end_s(measures_distances=True) - end_s(measures_distances=False) == pytest.approx(13.0)
