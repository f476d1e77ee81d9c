"""Runs made by earlier versions: every later version evaluates, reports, compares, resumes and teaches with them."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from PIL import Image

from thumbnet.config import config_from_toml
from thumbnet.evaluation.metrics import evaluate
from thumbnet.models.architecture import BLOCKS_OF_OLD_CARDS, Architecture
from thumbnet.models.blocknet import BlockNet
from thumbnet.models.card import card_from_dict
from thumbnet.runs.comparison.runs import compare_runs
from thumbnet.runs.predict import predict
from thumbnet.runs.resume import resume
from thumbnet.runs.run import RunDir, load_run, read_robustness
from thumbnet.runs.seeds.train import resume_seeds
from thumbnet.runs.teacher import load_teacher
from thumbnet.runs.write_report import write_report
from thumbnet.specs.renamed import OF_OLD_RUNS
from thumbnet.trained.model import create_from_card

DATA = Path(__file__).parent / "data"
TEACHER = Path(__file__).parents[1] / "docs" / "results" / "teacher"
ZOO_SPRINT = Path(__file__).parents[1] / "docs" / "results" / "zoo" / "sprint" / "seed-0"


@pytest.fixture
def finished(tmp_path: Path) -> Path:
    return shutil.copytree(DATA / "run-2026-11", tmp_path / "finished")


@pytest.fixture
def stopped(tmp_path: Path) -> Path:
    return shutil.copytree(DATA / "run-2026-11-stopped", tmp_path / "stopped")


def test_it_evaluates_as_it_did(finished: Path) -> None:
    run = load_run(finished)
    evaluation = evaluate(run.model, run.load_dataset())
    assert evaluation.accuracy == pytest.approx(run.metrics["test_accuracy"], abs=0.006)  # two images of 359
    assert evaluation.loss == pytest.approx(run.metrics["test_loss"], abs=1e-4)
    assert len(run.history) == run.metrics["epochs"] == 3
    robustness = read_robustness(RunDir(finished))
    assert robustness is not None
    assert len(robustness.rows) == 45
    assert robustness.mean_balanced_accuracy is None  # which that version did not measure
    report = write_report(finished).read_text()
    assert '<section id="robustness"' in report
    assert "Balanced accuracy, the mean recall" not in report


def test_it_predicts_pictures(finished: Path, tmp_path: Path) -> None:
    run = load_run(finished)
    test = run.load_dataset().test
    Image.fromarray(test.images[0, 0].numpy()).save(tmp_path / "digit.png")
    (said,) = predict(run, [tmp_path / "digit.png"])
    (first, *_) = RunDir(finished).read_predictions().predicted.tolist()
    assert said.class_name == run.card.class_names[first]


def test_its_report_is_written_anew_with_the_command_that_trains_it(finished: Path) -> None:
    text = write_report(finished).read_text()
    assert "84.96 %" in text or "84.96%" in text
    assert "thumbnet train --recipe" in text


def test_a_stopped_one_goes_on_to_the_end_of_the_finished_one_and_compares_with_it(
    finished: Path, stopped: Path
) -> None:
    whole, resumed = load_run(finished), resume(stopped, log_style="silent", pictures=False)
    assert resumed.history[0].train_loss == whole.history[0].train_loss
    assert len(resumed.history) == 3
    assert resumed.history[2].train_loss == pytest.approx(whole.history[2].train_loss, rel=0.02)  # another processor
    assert resumed.metrics["test_accuracy"] == pytest.approx(whole.metrics["test_accuracy"], abs=0.03)
    assert resumed.card.data_checksum == whole.card.data_checksum
    assert compare_runs([finished, resumed]).metrics[0].num_images == 359


def test_several_seeds_of_then_are_resumed(finished: Path, tmp_path: Path) -> None:
    folder = tmp_path / "seeds"
    shutil.copytree(finished, folder / "seed-1")
    shutil.copy(finished / "config.toml", folder / "shared.toml")
    (folder / "seeds.json").write_text(json.dumps({"seeds": [1]}))
    assert resume_seeds(folder, log_style="silent", pictures=False).metrics["n"] == 1


def test_the_kept_teacher_still_teaches() -> None:
    run = load_run(TEACHER)
    assert run.model(torch.zeros(2, *run.card.image_shape)).shape == (2, 10)


def test_it_teaches_a_student_on_its_own_data(finished: Path) -> None:
    assert load_teacher(str(finished), load_run(finished).load_dataset()).card.model == "sprint"


@pytest.mark.parametrize(("name", "blocks"), BLOCKS_OF_OLD_CARDS.items())
def test_a_card_without_options_has_the_blocks_of_its_time(name: str, blocks: str) -> None:
    path = ZOO_SPRINT / "model.json"
    values = json.loads(path.read_text())
    assert not values["model_options"]
    model = create_from_card(card_from_dict({**values, "model": name}, name=str(path)))
    assert isinstance(model, BlockNet)
    assert model.architecture.blocks == blocks


def test_a_card_with_an_architecture_keeps_its_blocks() -> None:
    path = ZOO_SPRINT / "model.json"
    values = json.loads(path.read_text()) | {"architecture": asdict(Architecture("c8s", 0, False))}
    assert card_from_dict(values, name=str(path)).model_options == {"blocks": "c8s"}


def test_a_field_that_a_run_had_not_yet_means_what_it_meant_then(
    finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(OF_OLD_RUNS, "average_decay", 0.25)
    path = finished / "config.toml"
    lines = path.read_text().splitlines(keepends=True)
    text = "".join(line for line in lines if not line.startswith("average_decay"))
    path.write_text(text)
    assert RunDir(finished).read_config(may_be_edited=True).average_decay == 0.25
    assert config_from_toml(text, name="a recipe").average_decay == 0.0
    path.write_text("average_decay = 0.5\n" + text)
    assert RunDir(finished).read_config(may_be_edited=True).average_decay == 0.5
