"""A training that is made anew in the end, on training and validation images together: what it keeps of the first one,
what it refuses, and when a plan of minutes asks for it."""

from __future__ import annotations

import math
import re
import shutil
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch

import thumbnet
from fake_time import FakeTime
from small_runs import small_config, write_small_data
from test_course import Ticking, fit_paced, linear
from thumbnet.cli import main
from thumbnet.config import TrainConfig
from thumbnet.data.dataset import Dataset, Source
from thumbnet.data.packs.pack import pack_data
from thumbnet.data.streamed import StreamedImages
from thumbnet.errors import ConfigError, RunError
from thumbnet.evaluation.analysis import Analysis
from thumbnet.evaluation.calibration import fit_temperature
from thumbnet.evaluation.predictions import Predictions, predict_split
from thumbnet.export.html.facts import facts
from thumbnet.recipes import load_recipe
from thumbnet.runs.evaluate import evaluate_trained
from thumbnet.runs.files.val_logits import val_logits_from_bytes, val_logits_to_bytes
from thumbnet.runs.folds.train import train_folds
from thumbnet.runs.known_images import describe_known_images
from thumbnet.runs.listing import list_runs
from thumbnet.runs.planning import choose, ladder
from thumbnet.runs.planning.constants import REFIT_MARGIN
from thumbnet.runs.planning.ladder import DataFacts
from thumbnet.runs.refit import config_of_refit, describe_refit, describe_refit_of_several
from thumbnet.runs.reports.facts import report_notes
from thumbnet.runs.reproduction import reproduce_run
from thumbnet.runs.resolve import load_data, say_nothing
from thumbnet.runs.results import write
from thumbnet.runs.resume import resume
from thumbnet.runs.run import Run, RunDir, load_run
from thumbnet.runs.seeds import evaluate as seeds_evaluate
from thumbnet.runs.shippable import load_shippable
from thumbnet.runs.teacher import load_teacher
from thumbnet.runs.train import train
from thumbnet.runs.write_report import write_report
from thumbnet.specs.data import ARRAYS
from thumbnet.specs.pace import Pace
from thumbnet.training.history import EpochRecord
from thumbnet.training.progress import Silent
from thumbnet.training.state import TrainingState
from thumbnet.training.stopping import STOP, Stop


def quiet_train(config: TrainConfig, run_dir: Path, **options: Any) -> Run:
    return train(config, run_dir=run_dir, log_style="silent", pictures=False, **options)


def weights_of(run: Run) -> dict[str, torch.Tensor]:
    return dict(run.model.state_dict())


def are_equal(ours: dict[str, torch.Tensor], others: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(weights, others[name]) for name, weights in ours.items())


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_data(tmp_path_factory.mktemp("data") / "data.npz")


@pytest.fixture(scope="module")
def config(data: Path) -> TrainConfig:
    return small_config(data, epochs=3, augmentation="crop-flip")


@pytest.fixture(scope="module")
def plain(config: TrainConfig, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return quiet_train(config, tmp_path_factory.mktemp("plain"))


@pytest.fixture(scope="module")
def refit(config: TrainConfig, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return quiet_train(config.replace(refit=True), tmp_path_factory.mktemp("refit"))


def own_data(run: Run) -> Dataset:
    return run.load_dataset()


def test_the_network_is_that_of_training_and_validation_images_together(
    plain: Run, refit: Run, config: TrainConfig, tmp_path: Path
) -> None:
    dataset = own_data(plain)
    assert dataset.val is not None
    whole = dataset.with_val_in_train()
    assert (len(whole.train), whole.val) == (len(dataset.train) + len(dataset.val), None)
    assert torch.equal(whole.train.images[-len(dataset.val) :], dataset.val.images)
    by_hand = quiet_train(plain.config.replace(val_fraction=0.0, val_per_class=None), tmp_path / "hand", dataset=whole)
    assert are_equal(weights_of(refit), weights_of(by_hand))
    assert not are_equal(weights_of(refit), weights_of(plain))
    assert refit.metrics["test_loss"] == by_hand.metrics["test_loss"]


def test_the_history_and_validation_are_of_the_first_network(plain: Run, refit: Run) -> None:
    for column in ("train_loss", "val_loss", "val_accuracy"):
        assert refit.history.column(column) == plain.history.column(column)
    for name in ("val_accuracy", "val_loss", "num_val", "epochs"):
        assert refit.metrics[name] == plain.metrics[name]
    dataset = own_data(plain)
    assert dataset.val is not None
    expected = predict_split(plain.model, dataset.val, mean=dataset.mean, std=dataset.std)
    kept = RunDir(refit.path).read_val_logits()
    assert kept is not None
    torch.testing.assert_close(kept.logits, expected.logits)
    assert torch.equal(kept.labels, dataset.val.labels)
    assert RunDir(plain.path).read_val_logits() is None
    assert (refit.card.refit, plain.card.refit) == (True, False)
    assert refit.metrics["num_refit"] == len(dataset.train) + len(dataset.val)
    assert refit.card.num_train == len(dataset.train)


def test_both_trainings_are_reproduced(refit: Run, tmp_path: Path) -> None:
    found = reproduce_run(refit.path, out=tmp_path / "again", log_style="silent")
    assert found.is_same
    assert RunDir(tmp_path / "again").read_metrics()["num_refit"] == refit.metrics["num_refit"]


def test_a_threshold_is_picked_by_the_first_network(config: TrainConfig, tmp_path: Path) -> None:
    asked = config.replace(val_fraction=0.5, threshold="f1")
    plain, refit = (quiet_train(asked.replace(refit=value), tmp_path / str(value)) for value in (False, True))
    assert plain.card.decision is not None
    assert refit.card.decision == plain.card.decision


def test_what_a_reader_is_told(refit: Run, plain: Run) -> None:
    notes = report_notes(refit.config, own_data(refit), refit.metrics, None)
    (note,) = [note for note in notes if "refit" in note]
    num_train = len(own_data(refit).train)
    assert f"A second training, on all {refit.metrics['num_refit']} training and validation images" in note
    assert f"of the first network, trained on {num_train} images" in note
    assert not any("refit" in note for note in report_notes(plain.config, own_data(plain), plain.metrics, None))


def test_validation_images_are_not_scored_by_a_network_that_knows_them(refit: Run, plain: Run) -> None:
    with pytest.raises(ConfigError, match="trained on its validation images"):
        evaluate_trained(refit, split="val")
    evaluate_trained(plain, split="val")


def test_nor_where_one_of_several_seeds_alone_knows_them(
    refit: Run, plain: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seeds_evaluate, "load_seed_runs", lambda path: (plain, refit))  # whose first one ended early
    with pytest.raises(ConfigError, match="trained on its validation images, too"):
        seeds_evaluate.evaluate_seeds(plain.path, split="val")
    assert len(seeds_evaluate.evaluate_seeds(plain.path).evaluations) == 2


def test_later_trainings_are_told_that_it_knows_the_validation_images(refit: Run, plain: Run) -> None:
    dataset = own_data(plain)
    assert "trained on these validation images, too (refit)" in describe_known_images(str(refit.path), dataset)
    assert describe_known_images(str(plain.path), dataset) == ""
    assert describe_known_images(str(refit.path), dataset.with_val_in_train().with_train(dataset.train)) == ""
    load_teacher(str(plain.path), dataset)
    with pytest.raises(ConfigError, match=r"validation images, too \(refit\)"):
        load_teacher(str(refit.path), dataset)


def test_a_report_that_is_written_again_has_the_temperature_of_the_first_network(
    tiny_dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("evaluation.analysis", "runs.evaluate", "runs.reports.run"):
        monkeypatch.setattr(f"thumbnet.{module}.MIN_TEMPERATURE_IMAGES", 20)
    noisy = replace(tiny_dataset.val, labels=tiny_dataset.val.labels.flip(0))  # some of them are wrong
    dataset = replace(tiny_dataset, val=noisy, source=Source(ARRAYS, "noise"))
    config = small_config(tmp_path / "none.npz").replace(data=ARRAYS, val_fraction=0.1, refit=True, epochs=4)
    run = train(config, run_dir=tmp_path / "run", log_style="silent", dataset=dataset)
    kept = RunDir(run.path).read_val_logits()
    assert kept is not None
    expected, others = fit_temperature(kept), fit_temperature(predict_split(run.model, noisy, **statistics(dataset)))
    assert expected is not None
    assert expected != pytest.approx(others, rel=1e-3)
    again = evaluate_trained(run, dataset=dataset, temperature=True).analysis
    assert isinstance(again, Analysis)
    assert again.temperature == pytest.approx(expected)
    first = (run.path / "report.html").read_text()
    written = write_report(run.path, tmp_path / "again.html", dataset=dataset).read_text()
    shown = re.compile(r"[^>]*temperature[^<]*", re.IGNORECASE)
    assert shown.findall(first)
    assert shown.findall(written) == shown.findall(first)
    (run.path / "val-logits.safetensors").unlink()
    with pytest.raises(RunError, match=r"val-logits\.safetensors cannot be read"):
        write_report(run.path, tmp_path / "third.html", dataset=dataset)


def statistics(dataset: Dataset) -> dict[str, Any]:
    return {"mean": dataset.mean, "std": dataset.std}


@pytest.mark.parametrize("where", ["in its second epoch", "after it"])
def test_a_run_that_is_killed_in_its_second_training_goes_on_to_the_same_end(
    where: str,
    config: TrainConfig,
    refit: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    class Killing(Silent):
        def epoch_ends(self, record: EpochRecord) -> None:
            if record.epoch == 2:
                raise KeyboardInterrupt

    def killed(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        if where == "after it":
            patch.setattr(write, "trace_model", killed)
        else:
            patch.setattr("thumbnet.runs.refit.build_progress", lambda *arguments: Killing())
        with pytest.raises(KeyboardInterrupt):
            quiet_train(config.replace(refit=True), tmp_path / "run")
    assert not RunDir(tmp_path / "run").is_complete
    assert [row.state for row in list_runs(tmp_path / "run")] == ["stopped in its second training"]
    again = resume(tmp_path / "run", log_style="auto", pictures=False)
    told = capsys.readouterr().err
    assert f"Resuming {tmp_path / 'run'} in its second training (refit), which begins anew." in told
    assert are_equal(weights_of(again), weights_of(refit))
    kept, expected = (RunDir(run.path).read_val_logits() for run in (again, refit))
    assert kept is not None
    assert expected is not None
    torch.testing.assert_close(kept.logits, expected.logits)
    assert again.history.column("val_loss") == refit.history.column("val_loss")


def test_a_training_that_is_stopped_is_not_made_anew(config: TrainConfig, plain: Run, tmp_path: Path) -> None:
    def stop(state: TrainingState) -> Stop | None:
        return STOP if state.epoch == 2 else None

    run = quiet_train(config.replace(refit=True), tmp_path / "run", on_epoch_end=stop)
    assert "num_refit" not in run.metrics
    assert not run.card.refit
    (sentence,) = describe_refit(run.config, run.metrics, num_train=28)
    assert "ended early" in sentence


def test_steps_are_as_many_epochs(config: TrainConfig) -> None:
    dataset, resolved = load_data(config.replace(epochs=None, steps=10, refit=True), say=say_nothing)
    assert dataset.val is not None
    assert (len(dataset.train), len(dataset.val)) == (28, 8)
    more = config_of_refit(resolved.replace(batch_size=4), dataset)  # 7 steps an epoch, then 9
    assert more.pace is not None
    assert (more.pace.num_steps, more.epochs) == (13, 2)


def test_several_labels(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 255, (60, 3, 16, 16), generator=generator, dtype=torch.uint8)
    labels = torch.randint(0, 2, (60, 3), generator=generator, dtype=torch.uint8)
    dataset = thumbnet.dataset_from_arrays(images, labels, class_names=("a", "b", "c"), val_fraction=0.4)
    config = small_config(tmp_path / "none.npz").replace(data="arrays", val_fraction=0.4, threshold="f1")
    plain, refit = (
        quiet_train(config.replace(refit=value), tmp_path / str(value), dataset=dataset) for value in (False, True)
    )
    assert refit.card.label_decision == plain.card.label_decision
    assert refit.card.refit
    assert not are_equal(weights_of(refit), weights_of(plain))


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"patience": 2}, "patience is 2"),
        ({"keep_weights": "best"}, "keep_weights is 'best'"),
        ({"score_test": "each-epoch"}, "score_test"),
        ({"unknown": 0.05}, "unknown is given"),
        ({"teacher": "runs/x", "teacher_weight": 0.5, "teacher_temperature": 2.0}, "a teacher is given"),
    ],
)
def test_what_is_refused(fields: dict[str, Any], reason: str, config: TrainConfig) -> None:
    with pytest.raises(ConfigError, match=re.escape(reason)):
        config.replace(augmentation="crop-flip", **fields).replace(refit=True)


def test_a_second_training_needs_validation_images(config: TrainConfig, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no images are held out for validation"):
        quiet_train(config.replace(val_fraction=0.0, refit=True), tmp_path / "run")
    run = quiet_train(config.replace(val_fraction=0.0), tmp_path / "other")
    (run.path / "metrics.json").unlink()
    text = (run.path / "config.toml").read_text()
    (run.path / "config.toml").write_text(text.replace("refit = false", "refit = true"))
    with pytest.raises(ConfigError, match="no images are held out for validation"):
        resume(run.path, log_style="silent", accept_changes=True)


def with_own_val(path: Path) -> Path:
    """An npz file with a validation split of its own."""
    arrays = dict(np.load(write_small_data(path)))
    parts = {"train": slice(0, 24), "val": slice(24, 32), "test": slice(32, None)}
    named = {f"{split}_{name}": arrays[name][part] for split, part in parts.items() for name in ("images", "labels")}
    np.savez(path, **named)
    return path


def test_validation_images_of_the_sources_own_are_added_too(tmp_path: Path, two_epochs: None) -> None:
    data = with_own_val(tmp_path / "own.npz")
    run = quiet_train(small_config(data, val_fraction="auto", refit=True), tmp_path / "run")
    assert (run.config.val_fraction, run.metrics["num_val"], run.metrics["num_refit"]) == (0.0, 8, 32)
    assert FakeTime(step_s=0.1).plan(asked(data)).config.refit


def test_images_that_stay_on_the_disk(config: TrainConfig, refit: Run, data: Path, tmp_path: Path) -> None:
    """A second training reads them there; its network is the same but for rounding."""
    pack_data(f"npz:{data}", tmp_path / "pack")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("thumbnet.data.packs.store.IN_MEMORY_SHARE", 0.0)
        of_pack = config.replace(data=f"packed:{tmp_path / 'pack'}", refit=True, border="policy")
        run = quiet_train(of_pack, tmp_path / "run")
        assert isinstance(own_data(run).train.images, StreamedImages)
    whole = quiet_train(config.replace(refit=True, border="policy"), tmp_path / "memory")
    assert run.metrics["num_refit"] == whole.metrics["num_refit"]
    assert are_equal(weights_of(run), weights_of(whole))


def test_several_folds_say_it_once_of_all(config: TrainConfig, tmp_path: Path) -> None:
    done = train_folds(
        config.replace(refit=True, epochs=1), num_folds=3, run_dir=tmp_path / "folds", log_style="silent"
    )
    text = unescape((done.path / "report.html").read_text())
    assert text.count("(refit)") == 1
    assert "Each training was followed by a second one, on its training and validation images together (refit)" in text
    assert describe_refit_of_several(config, [run.metrics for run in done.runs]) == []
    stopped = [{**done.runs[0].metrics, "num_refit": 0}, done.runs[1].metrics]
    (sentence,) = describe_refit_of_several(config.replace(refit=True), stopped)
    assert sentence.startswith("1 of 2 trainings were followed")


def test_pages_about_the_model_say_it(refit: Run, plain: Run) -> None:
    for run, is_said in ((refit, True), (plain, False)):
        shippable = load_shippable(run.path)
        assert ("trained on in the end, too" in dict(facts(shippable))["Pictures"]) == is_said


@pytest.mark.parametrize("verb", [["data", "check"], ["find-lr"]])
def test_what_has_no_use_for_it_refuses_it(verb: list[str], data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*verb, "--data", f"npz:{data}", "--set", "refit=true"]) == 2
    assert "refit" in capsys.readouterr().err


def test_a_clock_reckons_with_the_second_training(tiny_dataset: Dataset) -> None:
    """Steps of a second each: 60 of them, and half as many again, are 90 seconds, and 10 come after these."""
    for seconds, num_steps in ((105.0, 60), (70.0, 40)):
        ticking = Ticking()
        result = fit_paced(
            linear(),
            tiny_dataset,
            pace=Pace(60),
            clock=ticking.clock(seconds=seconds, again_share=0.5, max_steps=60),
            progress=ticking,
        )
        assert result.pace is not None
        assert result.pace.num_steps == pytest.approx(num_steps, abs=2)


@pytest.mark.parametrize(
    "tensors",
    [
        {"labels": torch.zeros(6, dtype=torch.int64)},
        {"logits": torch.zeros(6, 3), "labels": torch.zeros(6, dtype=torch.int64)},
        {"logits": torch.zeros(6, 2).double(), "labels": torch.zeros(6, dtype=torch.int64)},
        {"logits": torch.full((6, 2), torch.nan), "labels": torch.zeros(6, dtype=torch.int64)},
        {"logits": torch.zeros(6, 2), "labels": torch.full((6,), 2)},
        {"logits": torch.zeros(6, 2), "labels": torch.zeros(5, dtype=torch.int64)},
        {"logits": torch.zeros(5, 2), "labels": torch.zeros(5, dtype=torch.int64)},
    ],
)
def test_a_damaged_file_of_logits_is_refused(tensors: dict[str, torch.Tensor]) -> None:
    whole = Predictions(torch.zeros(6, 2), torch.zeros(6, dtype=torch.int64))
    val_logits_from_bytes(val_logits_to_bytes(whole), name="v", num_images=6, num_classes=2)
    for content in (safetensors.torch.save(tensors), b"no tensors"):
        with pytest.raises(RunError, match="v is damaged"):
            val_logits_from_bytes(content, name="v", num_images=6, num_classes=2)


def asked(data: Path, **options: Any) -> TrainConfig:
    given = {"data": f"npz:{data}", "minutes": 2.0, **options}
    return load_recipe("auto", options=given, settings=["augmentation=none"])


@pytest.fixture
def two_epochs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The longest training that a plan makes."""
    monkeypatch.setattr(ladder, "MAX_EPOCHS", 2)
    monkeypatch.setattr(ladder, "MAX_STEPS_OF_FEW", 20)


def shares(facts: DataFacts, batch_size: int) -> float:
    """The steps of an epoch of training and validation images over those of training images alone."""
    return math.ceil((facts.num_train + facts.num_val) / batch_size) / math.ceil(facts.num_train / batch_size)


@pytest.mark.usefixtures("two_epochs")
def test_a_plan_whose_time_is_left_adds_the_validation_images(data: Path, tmp_path: Path) -> None:
    told: list[str] = []
    planned = FakeTime(step_s=0.1).plan(asked(data), told.append)
    assert planned.config.refit
    assert planned.config.steps == 20
    facts = planned.record.facts
    both = facts.num_train + facts.num_val
    assert f"A second training follows, on all {both} training and validation images" in " ".join(told)
    assert planned.record.refit_share == pytest.approx(REFIT_MARGIN * shares(facts, planned.config.batch_size))
    assert planned.record.clock(deadline_s=100.0).again_share == planned.record.refit_share
    without = FakeTime(step_s=0.1).plan(asked(data, refit=False))
    assert (without.config.refit, without.record.refit_share) == (False, 0.0)
    run = quiet_train(planned.config.replace(steps=2), tmp_path / "run")
    again = quiet_train(load_recipe(str(run.path / "config.toml")), tmp_path / "again")
    assert are_equal(weights_of(run), weights_of(again))
    assert run.metrics["num_refit"] == both


@pytest.mark.usefixtures("two_epochs")
@pytest.mark.parametrize("step_s", [1.9, 6.0])
def test_a_plan_without_time_left_does_not(step_s: float, data: Path) -> None:
    assert not FakeTime(step_s=step_s).plan(asked(data)).config.refit


@pytest.mark.usefixtures("two_epochs")
@pytest.mark.parametrize("options", [{"patience": 3}, {"unknown": 0.05}, {"score_test": "each-epoch"}])
def test_a_plan_does_not_add_them_where_that_is_refused(
    options: dict[str, Any], data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choose, "check_trainable", lambda *arguments, **more: None)  # too few images for `unknown`
    assert not FakeTime(step_s=0.1).plan(asked(data, **options)).config.refit


def test_a_second_training_that_is_asked_for_leaves_the_first_one_fewer_steps(data: Path) -> None:
    once, both = (FakeTime(step_s=0.5).plan(asked(data, refit=value)) for value in (False, True))
    assert both.config.refit
    facts = once.record.facts
    parts = 1 + REFIT_MARGIN * (facts.num_train + facts.num_val) / facts.num_train
    assert both.record.steps == pytest.approx(once.record.steps / parts, abs=3)
    assert both.record.refit_share == pytest.approx(REFIT_MARGIN * shares(facts, both.config.batch_size))
    assert both.record.reserve_s == once.record.reserve_s


def test_a_run_of_before_has_no_second_training(plain: Run) -> None:
    text = (plain.path / "model.json").read_text()
    assert "refit" not in text  # earlier versions read it, too
    assert not load_run(plain.path).card.refit


def test_a_run_of_minutes_that_may_be_in_its_second_training_is_called_so(refit: Run, tmp_path: Path) -> None:
    """Its clock may have given it more epochs than config.toml has; one stopped before is told by its epochs."""
    path = tmp_path / "run"
    shutil.copytree(refit.path, path)
    (path / "metrics.json").unlink()
    assert [row.state for row in list_runs(path)] == ["stopped in its second training"]
    (path / "plan.json").touch()
    assert [row.state for row in list_runs(path)] == ["stopped before or in its second training"]
    history = (path / "history.csv").read_text().splitlines(keepends=True)
    (path / "history.csv").write_text("".join(history[:-1]))
    assert [row.state for row in list_runs(path)] == ["stopped after epoch 2, 3 were planned"]
    (path / "plan.json").unlink()
    assert [row.state for row in list_runs(path)] == ["stopped after epoch 2 of 3"]
