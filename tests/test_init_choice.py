"""`init = "auto"`: trained weights of the package where they win on this data's validation images, else new ones."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from small_runs import NUM_IMAGES, small_config
from test_minutes import FakeTime
from thumbnet.cli import main
from thumbnet.config import TrainConfig
from thumbnet.data.dataset import Dataset, Split
from thumbnet.errors import ConfigError
from thumbnet.models.pretrained import read_pretrained_card
from thumbnet.recipes import load_recipe
from thumbnet.runs.choices import init as init_choice
from thumbnet.runs.choices.init import Start, start_with, with_chosen_init
from thumbnet.runs.files.init_record import InitChoice
from thumbnet.runs.folds.report_parts import folds_command
from thumbnet.runs.folds.table import FoldList
from thumbnet.runs.folds.train import resume_folds, train_folds
from thumbnet.runs.lr import find_recipe_lr
from thumbnet.runs.planning import choose
from thumbnet.runs.planning.apply import is_planned
from thumbnet.runs.planning.choose import plan_training
from thumbnet.runs.planning.constants import Rung
from thumbnet.runs.reproduce import reproducing_command
from thumbnet.runs.resolve import load_data, say_nothing
from thumbnet.runs.resume import resume
from thumbnet.runs.run import RunDir, load_run
from thumbnet.runs.seeds.train import resume_seeds, train_seeds
from thumbnet.runs.train import train
from thumbnet.runs.write_report import write_report

QUIET: dict[str, Any] = {"log_style": "silent", "pictures": False}
SPRINT = read_pretrained_card("sprint")


def right_ones(num_right: int, *, first: int = 0) -> Callable[[int], Tensor]:
    """So many of the images, from the `first` on."""
    return lambda num_images: (torch.arange(num_images) >= first) & (torch.arange(num_images) < first + num_right)


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch) -> list[Start]:
    """The starts that were tried, without a training: new weights are right on 40 % of the images, trained on 60."""
    starts: list[Start] = []

    def try_it(start: Start, steps: int, held_out: Split) -> Tensor:
        starts.append(start)
        share = 0.4 if start.weights is None else 0.6
        return right_ones(round(share * len(held_out)))(len(held_out))

    monkeypatch.setattr(init_choice, "_tried", try_it)
    monkeypatch.setattr(init_choice, "MIN_IMAGES", 4)
    monkeypatch.setattr(init_choice, "MIN_STEPS", 1)
    return starts


def chosen(dataset: Dataset, settings: tuple[str, ...] = (), **options: Any) -> tuple[TrainConfig, Dataset, InitChoice]:
    options = {"init": "auto", "epochs": 30, "batch_size": 16, **options}
    config = load_recipe("sprint", options=options, settings=settings)
    return with_chosen_init(config, dataset, say=say_nothing)


class NoLabel(nn.Module):
    """Answers that a picture has none of the labels."""

    def __init__(self, num_labels: int) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.full((num_labels,), -1.0))

    def forward(self, images: Tensor) -> Tensor:
        return self.logits.expand(len(images), -1)


def test_of_several_labels_all_must_be_right(tiny_dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    def several(split: Split) -> Split:
        labels = torch.eye(tiny_dataset.num_classes, dtype=torch.uint8)[split.labels]
        labels[0] = 0
        return replace(split, labels=labels)

    assert tiny_dataset.val is not None
    train_split, val, test = (several(split) for split in (tiny_dataset.train, tiny_dataset.val, tiny_dataset.test))
    dataset = replace(tiny_dataset, train=train_split, val=val, test=test)
    monkeypatch.setattr(init_choice, "train_shortly", lambda *_, **__: NoLabel(dataset.num_classes))
    start = start_with(load_recipe("sprint", options={"init": "auto", "epochs": 1}), dataset, None)
    assert init_choice._tried(start, 1, val).nonzero().flatten().tolist() == [0]


def test_trained_weights_win_by_more_than_a_standard_error(tiny_dataset: Dataset, tried: list[Start]) -> None:
    config, dataset, choice = chosen(tiny_dataset)
    assert (config.init, choice.weights, choice.num_val) == ("sprint", "sprint", 30)
    assert choice.gain == pytest.approx(0.2)
    assert choice.gain_standard_error == pytest.approx(np.std([1] * 6 + [0] * 24, ddof=1) / math.sqrt(30))
    new, trained = choice.trials
    assert (new.weights, new.val_accuracy, new.steps, new.epochs) == (None, pytest.approx(0.4), 102, 17)
    assert (trained.weights, trained.val_accuracy) == ("sprint", pytest.approx(0.6))
    assert new.standard_error == pytest.approx(np.std([1] * 12 + [0] * 18, ddof=1) / math.sqrt(30))
    assert choice.reason == (
        "init: began with the trained weights of sprint: 60.0% against 40.0% of new weights on 30 validation images "
        "after 17 epochs (standard error of the difference 7.4 points)."
    )
    assert dataset.source.remarks == (choice.reason,)
    assert [start.weights for start in tried] == [None, "sprint"]
    assert tried[0].dataset.mean == tiny_dataset.mean
    assert list(tried[1].dataset.mean) == SPRINT["mean"]  # the images as its weights know them


def test_a_gain_within_its_error_is_none(
    tiny_dataset: Dataset, tried: list[Start], monkeypatch: pytest.MonkeyPatch
) -> None:
    rights = {None: right_ones(12), "sprint": right_ones(14, first=6)}  # 8 better, 6 worse
    monkeypatch.setattr(init_choice, "_tried", lambda start, steps, held_out: rights[start.weights](len(held_out)))
    config, _, choice = chosen(tiny_dataset)
    assert (config.init, choice.weights) == (None, None)
    assert 0 < choice.gain < choice.gain_standard_error  # type: ignore[operator]
    assert "the trained ones of sprint did not win: 46.7% against 40.0% of new weights" in choice.reason


def test_where_classes_weigh_the_same_so_they_do_in_the_choice(
    tiny_dataset: Dataset, tried: list[Start], monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = torch.tensor([0] * 20 + [1] * 8 + [2] * 2)
    assert tiny_dataset.val is not None
    dataset = replace(tiny_dataset, val=replace(tiny_dataset.val, labels=labels))
    rights = {None: right_ones(20), "sprint": right_ones(15, first=15)}
    monkeypatch.setattr(init_choice, "_tried", lambda start, steps, held_out: rights[start.weights](len(held_out)))
    assert chosen(dataset)[2].weights is None
    assert chosen(dataset, settings=("class_weights.red=2",))[2].weights is None  # they weigh other than the same
    choice = chosen(dataset, settings=("class_weights=balanced",))[2]
    assert choice.weights == "sprint"
    assert [trial.val_accuracy for trial in choice.trials] == [pytest.approx(1 / 3), pytest.approx(0.75)]
    assert "mean over the classes" in choice.reason


def test_too_little_to_choose_by_means_new_weights(
    tiny_dataset: Dataset, tried: list[Start], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(init_choice, "MIN_IMAGES", 31)
    choice = chosen(tiny_dataset)[2]
    assert (choice.weights, choice.trials) == (None, ())
    assert "those of sprint were not tried: 30 validation images are too few" in choice.reason
    monkeypatch.setattr(init_choice, "MIN_IMAGES", 30)
    monkeypatch.setattr(init_choice, "MIN_STEPS", 103)
    assert "a short training would have no more than 102 steps" in chosen(tiny_dataset)[2].reason
    assert tried == []


@pytest.mark.parametrize(
    ("options", "settings", "message"),
    [
        ({"model": "resnet8"}, (), "no trained weights of resnet8 come with the package"),
        ({"model": "sprint-long"}, (), "no trained weights of sprint-long come with the package"),
        ({"model": "net.py:Net"}, (), "no trained weights of net.py:Net come with the package"),
        ({}, ("model_options.blocks=c8",), "init is of a sprint with the options"),
        ({}, ("model_options.stem=w2c8",), "take maps of 24 channels"),
    ],
)
def test_weights_that_do_not_fit_are_refused(
    options: dict[str, Any], settings: tuple[str, ...], message: str, tiny_dataset: Dataset, tried: list[Start]
) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        chosen(tiny_dataset, settings, **options)
    assert caught.value.message.startswith("init is 'auto', but ")
    assert tried == []


def test_validation_must_be_able_to_tell(
    tiny_dataset: Dataset, tried: list[Start], data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match="no images are held out for validation"):
        chosen(replace(tiny_dataset, val=None))
    with pytest.raises(ConfigError, match="the trained weights of sprint know cifar10"):
        chosen(replace(tiny_dataset, source=replace(tiny_dataset.source, name="cifar10")))
    for field in ("body_lr_factor", "teacher"):
        with pytest.raises(ConfigError, match="init is 'auto'"):
            load_recipe("sprint", options={"init": "auto", field: 0.5 if field != "teacher" else "runs/1"})
    with pytest.raises(ConfigError, match="only `train` chooses what to begin with"):
        find_recipe_lr(config_of(data))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sprint").mkdir()
    with pytest.raises(ConfigError, match="an existing folder wins over the trained model sprint"):
        chosen(tiny_dataset)


def test_the_command_refuses_a_model_without_trained_weights(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        main(["train", "--data", f"npz:{data}", "--model", "resnet8", "--set", "optimizer=sgd", "--init", "auto"]) == 2
    )
    assert "no trained weights of resnet8" in capsys.readouterr().err


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Forty colour pictures of 16x16 pixels in two classes."""
    labels = np.arange(NUM_IMAGES) % 2
    images = np.random.default_rng(0).integers(0, 150, (NUM_IMAGES, 16, 16, 3)) + 100 * labels[:, None, None, None]
    np.savez(tmp_path / "data.npz", images=images.astype(np.uint8), labels=labels)
    return tmp_path / "data.npz"


def config_of(data: Path, **fields: Any) -> TrainConfig:
    return small_config(data, model_options={}, init="auto", **fields)


def test_a_run_records_the_choice_and_repeats_it(
    data: Path, tmp_path: Path, tried: list[Start], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = train(config_of(data), run_dir=tmp_path / "run", log_style="reference", pictures=False)
    told = capsys.readouterr().err
    choice = RunDir(run.path).read_init_choice()
    assert choice is not None
    assert told.count(choice.reason) == 1
    assert f"# {choice.reason}" in (run.path / "config.toml").read_text()
    assert (run.config.init, list(run.card.mean)) == ("sprint", SPRINT["mean"])
    assert json.loads((run.path / "init.json").read_text())["weights"] == "sprint"
    assert run.asked is not None
    assert run.asked.init == "auto"
    assert choice.reason in write_report(run.path).read_text()
    monkeypatch.setattr("thumbnet.runs.train.with_chosen_init", None)  # neither of these chooses again
    again = train(load_recipe(str(run.path / "config.toml")), run_dir=tmp_path / "again", **QUIET)
    assert again.metrics["test_loss"] == run.metrics["test_loss"]
    for name in ("metrics.json", "checkpoint-last.pt"):
        (run.path / name).unlink()
    sums = [line for line in (run.path / "SHA256SUMS").read_text().splitlines() if "metrics" not in line]
    (run.path / "SHA256SUMS").write_text("\n".join(line for line in sums if "checkpoint" not in line) + "\n")
    assert resume(run.path, **QUIET).metrics["test_loss"] == run.metrics["test_loss"]


def test_the_command_that_trains_the_same_again_names_what_was_chosen(data: Path) -> None:
    asked = load_recipe("sprint", options={"data": f"npz:{data}", "init": "auto"})
    dataset, resolved = load_data(asked.replace(init="sprint"), say=say_nothing)
    command = reproducing_command(resolved, asked, sides=dataset.image_shape[1:])
    assert command.endswith("--init sprint")
    assert "--init" not in reproducing_command(resolved.replace(init=None), asked, sides=dataset.image_shape[1:])


def test_the_command_of_folds_lets_each_of_them_choose_again(
    data: Path, small_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = load_recipe("sprint", options={"data": f"npz:{data}", "init": "auto"})
    monkeypatch.setattr(RunDir, "read_asked", lambda _: asked)
    for chosen in ("sprint", None):
        dataset, resolved = load_data(asked.replace(init=chosen), say=say_nothing)
        run = load_run(small_run)
        first = replace(run, config=resolved, card=replace(run.card, image_shape=dataset.image_shape))
        command = folds_command(RunDir(tmp_path), [first], FoldList(2, (0,), ""))
        assert command.endswith("--init auto --folds 2") or command == "thumbnet train --recipe shared.toml --folds 2"


def test_new_weights_are_those_of_a_training_without_init(
    data: Path, tmp_path: Path, tried: list[Start], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(init_choice, "STANDARD_ERRORS", 1e9)
    run = train(config_of(data), run_dir=tmp_path / "run", **QUIET)
    plain = train(config_of(data).replace(init=None), run_dir=tmp_path / "plain", **QUIET)
    assert run.config == plain.config
    assert run.metrics["test_loss"] == plain.metrics["test_loss"]


def test_trials_are_trainings(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(init_choice, "MIN_IMAGES", 4)
    monkeypatch.setattr(init_choice, "MIN_STEPS", 1)
    run = train(config_of(data, epochs=2, augmentation="auto"), run_dir=tmp_path / "run", **QUIET)
    choice = RunDir(run.path).read_init_choice()
    assert choice is not None
    assert all(trial.seconds > 0 and trial.steps == 4 for trial in choice.trials)
    assert run.config.inputs.augmentation == "shift-flip"  # chosen after the weights, for them


def test_each_seed_chooses_for_itself(
    data: Path, tmp_path: Path, tried: list[Start], monkeypatch: pytest.MonkeyPatch
) -> None:
    def by_seed(start: Start, steps: int, held_out: Split) -> Tensor:
        tried.append(start)
        return right_ones(4 if (start.weights is None) == (start.resolved.seed == 1) else 0)(len(held_out))

    monkeypatch.setattr(init_choice, "_tried", by_seed)
    done = train_seeds(config_of(data), num_seeds=2, run_dir=tmp_path / "seeds", **QUIET)
    assert [run.config.init for run in done.runs] == ["sprint", None]
    assert done.runs[1].config.mean != done.runs[0].config.mean
    assert [start.resolved.seed for start in tried] == [0, 0, 1, 1]
    resumed = resume_seeds(done.path, **QUIET)
    assert resumed.metrics["test_accuracy"] == done.metrics["test_accuracy"]
    assert len(tried) == 4


def test_each_fold_chooses_by_its_own_validation_images(
    data: Path, tmp_path: Path, tried: list[Start], monkeypatch: pytest.MonkeyPatch
) -> None:
    def pixels(split: Split) -> set[bytes]:
        return {image.numpy().tobytes() for image in split.images}

    def by_fold(start: Start, steps: int, held_out: Split) -> Tensor:
        tried.append(start)
        assert start.dataset.val is not None
        assert pixels(held_out) == pixels(start.dataset.val)
        assert not pixels(held_out) & (pixels(start.dataset.test) | pixels(start.dataset.train))
        fold = start.resolved.division.fold
        return right_ones(2 if (start.weights is None) == (fold == 1) else 0)(len(held_out))

    monkeypatch.setattr(init_choice, "_tried", by_fold)
    monkeypatch.setattr(init_choice, "MIN_IMAGES", 2)
    done = train_folds(config_of(data), num_folds=2, run_dir=tmp_path / "folds", **QUIET)
    assert [run.config.init for run in done.runs] == ["sprint", None]
    assert [start.resolved.division.fold for start in tried] == [0, 0, 1, 1]
    assert [RunDir(run.path).read_init_choice() is None for run in done.runs] == [False, False]
    (done.path / "metrics.json").unlink()
    resume_folds(done.path, **QUIET)
    assert len(tried) == 4


@pytest.fixture
def two_rungs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The plan takes `sprint-long`, of which there are no trained weights."""
    rungs = Rung("sprint", 1.0), Rung("sprint-long", 3.8)
    monkeypatch.setattr(choose, "candidate_rungs", lambda config: rungs if is_planned(config, "model") else rungs[:1])


def planned_config(data: Path, **options: Any) -> TrainConfig:
    given = {"data": f"npz:{data}", "minutes": 1, "init": "auto", "augmentation": "shift-flip", **options}
    return load_recipe("auto", options=given)


def test_a_plan_tries_trained_weights_of_the_nearest_recipe(data: Path, tried: list[Start], two_rungs: None) -> None:
    fake = FakeTime(step_s=0.5)
    told: list[str] = []
    config = planned_config(data)
    plain = fake.plan(config.replace(init=None))
    assert plain.record.recipe == "sprint-long"
    planned = fake.plan(config, told.append)
    assert planned.init_choice is not None
    assert (planned.record.recipe, planned.config.init, planned.config.model) == ("sprint", "sprint", "sprint")
    assert [(start.weights, start.resolved.model) for start in tried] == [(None, "sprint-long"), ("sprint", "sprint")]
    assert planned.init_choice.reason in told
    assert planned.init_choice.reason in planned.dataset.source.remarks
    assert list(planned.dataset.mean) == SPRINT["mean"]
    for trial in planned.init_choice.trials:
        assert trial.steps == pytest.approx(0.05 * plain.record.steps, abs=1)
    assert planned.record.steps == pytest.approx(0.9 * plain.record.steps, rel=0.06)  # the trials' time is counted


def test_where_trained_weights_do_not_win_the_plan_is_the_usual_one(
    data: Path, tried: list[Start], two_rungs: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(init_choice, "STANDARD_ERRORS", 1e9)
    planned = FakeTime(step_s=0.5).plan(planned_config(data))
    assert (planned.record.recipe, planned.config.init) == ("sprint-long", None)
    assert planned.init_choice is not None
    assert "of sprint-long with new weights" in planned.init_choice.reason


def test_a_plan_of_several_trainings_leaves_the_choice_to_them(data: Path, tried: list[Start], two_rungs: None) -> None:
    fake = FakeTime(step_s=0.5)
    config = planned_config(data)
    planned = plan_training(
        config,
        began_s=fake.now_s - 5,
        say=say_nothing,
        now=lambda: fake.now_s,
        measures=fake,
        leaves_init_open=True,
    )
    assert (planned.config.init, planned.record.recipe, planned.init_choice) == ("auto", "sprint", None)
    assert tried == []
    plain = fake.plan(planned_config(data, model="sprint").replace(init=None))
    assert planned.record.steps == pytest.approx(0.9 * plain.record.steps, rel=0.06)


def test_a_model_that_is_given_is_kept_in_a_plan(data: Path, tried: list[Start]) -> None:
    with pytest.raises(ConfigError, match="no trained weights of resnet8"):
        FakeTime(step_s=0.5).plan(planned_config(data, model="resnet8"))
    planned = FakeTime(step_s=0.5).plan(planned_config(data, model="thumb-20k"))
    assert (planned.config.model, planned.config.init) == ("thumb-20k", "thumb-20k")
