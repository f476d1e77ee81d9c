"""A sweep: its trials, its limits, what it leaves, and that it goes on wherever it was stopped."""

from __future__ import annotations

import json
import re
import shutil
import socket
import sqlite3
import tomllib
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
import torch
from PIL import Image

import thumbnet
from scripts import ROOT
from small_runs import LR, rows_of, small_config, small_sweep, write_small_data
from test_image_sizes import config_for, write_pictures
from thumbnet.cli import main
from thumbnet.config import TrainConfig, config_to_toml
from thumbnet.data.dataset import Dataset
from thumbnet.data.leaks import Leaks
from thumbnet.data.sources import load_dataset
from thumbnet.errors import ConfigError, RunError, ThumbnetError, TrainingError
from thumbnet.evaluation import metrics
from thumbnet.recipes import load_recipe
from thumbnet.runs.as_read import as_read
from thumbnet.runs.files.checked_folder import CheckedFolder
from thumbnet.runs.files.names import SWEEP_DATABASE
from thumbnet.runs.listing import list_runs
from thumbnet.runs.load_checked import load_checked
from thumbnet.runs.resolve import say_nothing
from thumbnet.runs.run import RunDir
from thumbnet.runs.sweeps import claims, new_question, work
from thumbnet.runs.sweeps.proposals import sampler_of
from thumbnet.runs.sweeps.question import Question, study_name
from thumbnet.runs.sweeps.results import SweepResult, write_table
from thumbnet.runs.sweeps.rows import State, SweepTrial, best_of
from thumbnet.runs.sweeps.session import Session
from thumbnet.runs.sweeps.space import have_one_length, parse_space
from thumbnet.runs.sweeps.storage import parse_storage
from thumbnet.specs import own_code
from thumbnet.training.history import EpochRecord, history_from_csv
from thumbnet.training.threads import computing_with
from thumbnet.views.numbers import exact_share, plain
from thumbnet.views.report.charts import Line, draw_lines
from thumbnet.views.report.sweep_page import SweepPoint, _front_chart, _over_time, pareto_front

BLOCKS = 'model_options.blocks=["c8p", "c16p"]'


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_data(tmp_path_factory.mktemp("data") / "data.npz")


@pytest.fixture(scope="module")
def swept(data: Path, tmp_path_factory: pytest.TempPathFactory) -> SweepResult:
    """Three trials of two epochs, of which no test image may be scored."""
    folder = tmp_path_factory.mktemp("sweeps") / "sweep"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(metrics, "_evaluate_on", _only_validation(metrics._evaluate_on))
        return small_sweep(data, folder, search=[LR, BLOCKS], fields={"epochs": 2}, max_params=100_000, max_macs=10**9)


def _only_validation(evaluate: Any) -> Any:
    def evaluated(dataset: Dataset, split: str, model: Any) -> Any:
        assert split == "val"
        return evaluate(dataset, split, model)

    return evaluated


def test_trials(swept: SweepResult) -> None:
    """Each is a run folder without a test score; the table has them all."""
    assert [trial.state for trial in swept.trials] == ["finished"] * 3
    rows = rows_of(swept.path / "sweep.csv")
    assert list(rows[0]) == [
        *("trial", "state", "value", "lr", "model_options.blocks", "macs", "parameters", "seconds", "epochs", "reason")
    ]
    for trial, row in zip(swept.trials, rows, strict=True):
        folder = swept.path / f"trial-{trial.number:04d}"
        assert float(row["value"]) == trial.value
        assert float(row["lr"]) == trial.params["lr"] == RunDir(folder).read_config().optimizer.lr
        assert row["epochs"] == "2"
        history = history_from_csv((folder / "history.csv").read_text())
        assert history[-1].val_accuracy == trial.value
        assert history[-1].test_accuracy is None
        values = json.loads((folder / "trial.json").read_text())
        assert values["scored_on"].startswith("validation images only")
        assert values["value"] == trial.value
        assert not [name for name in values if "test" in name]
        assert not (folder / "metrics.json").exists()
        assert (folder / "model.safetensors").exists()
    assert len({trial.params["lr"] for trial in swept.trials}) == 3
    assert list_runs(swept.path) == []


def test_best_is_a_recipe(swept: SweepResult, tmp_path: Path) -> None:
    """Trained anew, it gives the trial's validation accuracy, to the bit."""
    assert swept.best is not None
    recipe = load_recipe(str(swept.path / "best.toml"))
    assert recipe.optimizer.lr == swept.best.params["lr"]
    run = thumbnet.train(recipe, run_dir=tmp_path / "run", pictures=False, log_style="silent")
    assert run.metrics["val_accuracy"] == swept.best.value
    assert run.metrics["val_loss"] == swept.best.val_loss
    again = thumbnet.resume(
        swept.path / f"trial-{swept.best.number:04d}", pictures=False, log_style="silent"
    )  # of the trial, a whole run
    assert again.metrics["test_loss"] == run.metrics["test_loss"]


def test_threads_of_the_best(data: Path, tmp_path: Path) -> None:
    """Its recipe names those that computed it, whatever the sweep was asked; none of a trial of before."""
    with computing_with(3):
        swept = small_sweep(data, tmp_path / "sweep", trials=1)
    assert load_recipe(str(swept.path / "best.toml")).engine.threads == 3
    resumed = thumbnet.resume_sweep(swept.path, log_style="silent")
    assert load_recipe(str(resumed.path / "best.toml")).engine.threads == 3
    config = small_config(data, threads=2)
    old = [replace(trial, num_threads=None) for trial in swept.trials]
    write_table(CheckedFolder(tmp_path), config, parse_space(config, [LR]), old, measure="val_accuracy", names={})
    assert load_recipe(str(tmp_path / "best.toml")).engine.threads == 2


def test_threads_of_what_a_trial_chooses(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An augmentation that is chosen is so by the threads that train, by which `train` chooses it from best.toml."""
    seen = []

    def checked(*arguments: Any, **named: Any) -> Any:
        seen.append(torch.get_num_threads())
        return load_checked(*arguments, **named)

    monkeypatch.setattr(work, "load_checked", checked)
    small_sweep(data, tmp_path / "sweep", trials=1, fields={"threads": 2})
    assert seen == [2]


def test_a_trial_begins_by_itself(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is said of how the recipe's own training would begin, and how its weights know images, is none of the
    trials': of one with another network, say."""
    config = small_config(data, init="sprint")
    own = load_dataset(config.data, val_fraction=0.2)
    begun = own.with_statistics((0.9,), (0.1,)).with_remark("chosen for the recipe")
    trial = as_read(begun, config)
    assert (trial.mean, trial.std, trial.source) == (own.mean, own.std, own.source)
    given = config.replace(mean=[0.9], std=[0.1])
    assert as_read(begun, given).mean == as_read(begun, config.replace(init=None)).mean == (0.9,)

    def checked(*arguments: Any, **named: Any) -> Any:
        dataset, resolved = load_checked(*arguments, **named)
        return dataset.with_remark("chosen for the recipe"), resolved

    monkeypatch.setattr("thumbnet.runs.sweeps.sweep.load_checked", checked)
    small_sweep(data, tmp_path / "sweep", trials=1)
    assert "chosen" not in (tmp_path / "sweep" / "trial-0000" / "config.toml").read_text()


def test_page(swept: SweepResult) -> None:
    """Every trial is in its table and its drawings; it needs no other file, and escapes what users name."""
    page = (swept.path / "sweep.html").read_text(encoding="utf-8")
    assert page.count('<polyline class="trial ') == 3
    assert page.count('<polyline class="trial trial-best"') == 1
    assert len(re.findall(r'<th scope="row" data-value="\d">', page)) == 3
    assert swept.best is not None
    assert swept.best.value is not None
    assert f"<dd>{exact_share(swept.best.value)}<small>of trial {swept.best.number}, on validation images" in page
    assert "on validation images alone" in page
    assert "the time between a stop and <code>--resume</code> is in them" in page
    assert "of the epoch whose weights are kept" in page
    assert not re.findall(r"https?://", page)
    for name in ("overview", "together", "importance", "cost", "trials"):
        assert f'<section id="{name}" aria-labelledby="{name}-title">' in page
        assert f'href="#{name}"' in page


def test_front() -> None:
    """None is beaten by one with as few MACs; of equal accuracies the cheaper one is enough."""
    points = [
        SweepPoint(0.0, *each, True) for each in [(0.8, 30), (0.7, 10), (0.7, 20), (0.6, 5), (0.9, 30), (0.85, 40)]
    ]
    assert [(point.macs, point.accuracy) for point in pareto_front(points)] == [(5, 0.6), (10, 0.7), (30, 0.9)]


def test_points_without_a_line() -> None:
    """They are dots, and several at one place are told by the least and the greatest."""
    chart = draw_lines("Points", [Line("a", [1, 1, 2], [0.5, 0.25, 0.75], is_joined=False)], x_label="x")
    assert "<polyline" not in chart.svg
    assert chart.svg.count("<circle") == 3
    assert [stop.values for stop in chart.stops] == [("0.2500 to 0.5000",), ("0.7500",)]


def test_leaks_are_told_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pictures, generator = tmp_path / "pictures", np.random.default_rng(0)
    for name in ("a", "b"):
        for split, number in (("train", 20), ("test", 4)):
            (pictures / split / name).mkdir(parents=True)
            for index in range(number):
                pixels = generator.integers(0, 256, (16, 16, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(pictures / split / name / f"{index}.png")
    shutil.copy(pictures / "train" / "a" / "0.png", pictures / "test" / "a" / "again.png")
    config = small_config(tmp_path / "x.npz").replace(data=f"folder:{pictures}", image_size=16)
    made = thumbnet.sweep(config, search=[LR], trials=2, run_dir=tmp_path / "sweep", log_style="auto")
    assert capsys.readouterr().err.count("Leaks between splits: ") == 1
    assert "again.png" in (made.path / "leaks.csv").read_text()


def test_more_trials(swept: SweepResult) -> None:
    """A sweep may be given more; what it has is not made again."""
    more = thumbnet.resume_sweep(swept.path, trials=4, log_style="silent")
    assert more.trials[:3] == swept.trials
    assert [trial.number for trial in more.trials] == [0, 1, 2, 3]
    assert thumbnet.resume_sweep(swept.path, log_style="silent").trials == more.trials


def test_killed_and_resumed(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed in a trial and after one, the sweep has the trials that it would have had."""
    options: dict[str, Any] = {"fields": {"epochs": 3}, "trials": 4}
    whole = small_sweep(data, tmp_path / "whole", **options)

    checkpoints = Counter[str]()
    write_checkpoint = RunDir.write_checkpoint

    def killed(folder: RunDir, checkpoint: Any) -> None:
        write_checkpoint(folder, checkpoint)
        checkpoints[folder.path.name] += 1
        if checkpoints["trial-0001"] == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(RunDir, "write_checkpoint", killed)
        with pytest.raises(KeyboardInterrupt):
            small_sweep(data, tmp_path / "killed", **options)
    assert [row["state"] for row in rows_of(tmp_path / "killed" / "sweep.csv")] == ["finished", "running"]
    assert "1 trial that is not finished yet." in (tmp_path / "killed" / "sweep.html").read_text(encoding="utf-8")
    with monkeypatch.context() as patch:  # between two trials, as the next one is proposed
        patch.setattr(optuna.Study, "add_trial", _killed_after(optuna.Study.add_trial))
        with pytest.raises(KeyboardInterrupt):
            thumbnet.resume_sweep(tmp_path / "killed", log_style="silent")
    states = [row["state"] for row in rows_of(tmp_path / "killed" / "sweep.csv")]
    assert states == ["finished", "finished", "running"]
    resumed = thumbnet.resume_sweep(tmp_path / "killed", log_style="silent")
    figures = [(trial.params, trial.value, trial.state) for trial in resumed.trials]
    assert figures == [(trial.params, trial.value, trial.state) for trial in whole.trials]
    assert checkpoints == {"trial-0000": 3, "trial-0001": 2}
    assert len((tmp_path / "killed" / "trial-0001" / "history.csv").read_text().splitlines()) == 4


def test_moved_and_resumed(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a shared storage, too, a killed trial is gone on with where the folder and the machine have other names."""
    address = f"sqlite:///{tmp_path / 'shared.db'}"
    with monkeypatch.context() as patch:
        patch.setattr(RunDir, "write_checkpoint", _interrupted)
        with pytest.raises(KeyboardInterrupt):
            small_sweep(data, tmp_path / "sweep", trials=2, storage=address)
    (tmp_path / "sweep").rename(tmp_path / "moved")
    monkeypatch.setattr(socket, "gethostname", lambda: "another")
    resumed = thumbnet.resume_sweep(tmp_path / "moved", log_style="silent")
    assert [(trial.number, trial.state) for trial in resumed.trials] == [(0, "finished"), (1, "finished")]


def test_a_file_for_storage_is_the_same_from_any_directory(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    monkeypatch.chdir(here)
    swept = small_sweep(data, tmp_path / "sweep", trials=1, storage="sqlite:///trials.db")
    monkeypatch.chdir(there)
    resumed = thumbnet.resume_sweep(tmp_path / "sweep", trials=2, log_style="silent")
    assert [trial.number for trial in resumed.trials] == [0, 1]
    assert resumed.trials[:1] == swept.trials
    assert list(there.iterdir()) == []
    with pytest.raises(ConfigError, match="the sweep's is sqlite:////"):
        thumbnet.resume_sweep(tmp_path / "sweep", storage="sqlite:///trials.db", log_style="silent")
    monkeypatch.chdir(here)
    again = thumbnet.resume_sweep(tmp_path / "sweep", storage="sqlite:///trials.db", log_style="silent")
    assert again.trials == resumed.trials
    assert parse_storage("sqlite:///file:trials.db?uri=true").url.database == "file:trials.db"


def test_shared_between_paths(data: Path, tmp_path: Path) -> None:
    """Equal data is the same wherever it is: nothing is trained twice. Other data is something else."""
    storage = f"sqlite:///{tmp_path / 'shared.db'}"
    elsewhere, other = tmp_path / "elsewhere.npz", write_small_data(tmp_path / "other.npz", seed=1)
    elsewhere.write_bytes(data.read_bytes())
    first = small_sweep(data, tmp_path / "first", trials=1, storage=storage)
    second = small_sweep(elsewhere, tmp_path / "second", trials=1, storage=storage)
    assert second.trials == first.trials
    assert not list(second.path.glob("trial-*"))
    assert load_recipe(str(second.path / "best.toml")).data == f"npz:{elsewhere}"
    third = small_sweep(other, tmp_path / "third", trials=1, storage=storage)
    assert list(third.path.glob("trial-*"))


def test_names_of_studies(data: Path) -> None:
    """They tell apart what is asked, not where the data or its lists lie."""

    def name(config: TrainConfig, checksum: str = "a") -> str:
        return study_name(config, [LR], max_params=1, max_macs=1, measure="val_accuracy", data_checksum=checksum)

    config = small_config(data)
    same: list[dict[str, Any]] = [{"data": "npz:/x.npz"}, {"exclude": "a.csv"}, {"groups": "b.csv"}, {"threads": 2}]
    others: list[dict[str, Any]] = [{"data": "packed:/mnt/x"}, {"lr": 0.1}, {"init": "/runs/a"}]
    assert {name(config.replace(**fields)) for fields in same} == {name(config)}
    assert name(config, "b") != name(config)
    for fields in others:
        assert name(config.replace(**fields)) != name(config)


def test_old_name_is_kept(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sweep whose study was named in another way goes on with it."""
    with monkeypatch.context() as patch:
        patch.setattr(new_question, "study_name", lambda *_, **__: "small-of-before")
        swept = small_sweep(data, tmp_path / "sweep", trials=1)
    assert thumbnet.resume_sweep(swept.path, log_style="silent").trials == swept.trials


NET = """
from torch import nn

class Net(nn.Module):
    def __init__(self, num_classes, in_channels):
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(256 * in_channels, num_classes))

    def forward(self, images):
        return self.layers(images)
"""


def test_code_and_paths(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From another working directory, and once its code was changed, a sweep goes on as it was begun, and its best
    recipe is the same; who has other code asks another question."""
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    monkeypatch.chdir(here)
    (here / "data.npz").write_bytes(data.read_bytes())
    (here / "net.py").write_text(NET)
    (here / "exclude.csv").write_text("index,path,label,suggested,score,kind\n")
    teacher = thumbnet.train(small_config(Path("data.npz")), run_dir="teacher", pictures=False, log_style="silent")
    config = small_config(Path("data.npz"), model="net.py:Net", model_options={}, augmentation="crop-flip")
    config = config.replace(exclude="exclude.csv")
    options: dict[str, Any] = {
        "search": ['variant=[{"teacher": "teacher"}, {"teacher": "teacher", "batch_size": 8}]', LR],
        "log_style": "silent",
    }
    swept = thumbnet.sweep(config, run_dir="sweep", trials=4, **options)
    assert "failed" not in {trial.state for trial in swept.trials}
    assert swept.command == "thumbnet train --recipe sweep/best.toml --trust-code"
    folder = here / "sweep"
    assert (folder / "code-net.py").read_text() == NET
    study = json.loads((folder / "sweep.json").read_text())["study"]
    assert json.loads((folder / "sweep.json").read_text())["names"] == {"teacher=teacher": str(teacher.path.resolve())}

    (here / "net.py").write_text(f"{NET}# changed\n")
    other = thumbnet.sweep(config, run_dir="other", trials=1, **options)
    assert json.loads((other.path / "sweep.json").read_text())["study"] != study

    (here / "net.py").unlink()
    monkeypatch.chdir(there)
    monkeypatch.setattr(own_code, "_executed", {})  # as in a new process
    with pytest.raises(RunError, match="code of its own"):
        thumbnet.resume_sweep(folder, trials=5, log_style="silent")
    more = thumbnet.resume_sweep(folder, trials=5, log_style="silent", trust_code=True)
    assert [trial.state for trial in more.trials] == ["finished"] * 5
    assert more.best is not None
    run = thumbnet.train(load_recipe(str(folder / "best.toml")), run_dir="run", pictures=False, log_style="silent")
    assert run.metrics["val_loss"] == more.best.val_loss


def _interrupted(*_: object) -> None:
    raise KeyboardInterrupt


def _killed_after(add: Any) -> Any:
    """Like `add`, but the process ends as soon as that is done."""

    def add_and_die(study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
        add(study, trial)
        raise KeyboardInterrupt

    return add_and_die


@pytest.fixture
def each_worse(monkeypatch: pytest.MonkeyPatch) -> dict[int, float]:
    """Trials of which each has a lower accuracy than the one before, by their numbers."""
    accuracies = {number: 0.9 - number / 10 for number in range(6)}
    numbers: list[int] = []
    propose = work.propose

    def proposed(trial: optuna.Trial, *rest: Any) -> Any:
        numbers.append(trial.number)
        return propose(trial, *rest)

    def value(record: EpochRecord, measure: str) -> float:
        assert measure == "val_accuracy"
        return accuracies[numbers[-1]]

    monkeypatch.setattr(work, "propose", proposed)
    monkeypatch.setattr(work, "value_of", value)
    return accuracies


def test_pruned(data: Path, tmp_path: Path, each_worse: dict[int, float]) -> None:
    """A trial below the median is given up, and counts; the last epoch prunes nothing."""
    result = small_sweep(data, tmp_path / "sweep", trials=6, fields={"epochs": 4})
    assert [trial.state for trial in result.trials] == ["finished"] * 5 + ["pruned"]
    assert [trial.epochs for trial in result.trials] == [4, 4, 4, 4, 4, 1]
    assert result.trials[5].value == each_worse[5]
    assert json.loads((tmp_path / "sweep" / "trial-0005" / "trial.json").read_text())["state"] == "pruned"
    assert "No trial is given up" not in (tmp_path / "sweep" / "sweep.html").read_text(encoding="utf-8")
    whole = thumbnet.resume(tmp_path / "sweep" / "trial-0005", pictures=False, log_style="silent")
    assert (whole.metrics["epochs"], whole.config.epochs) == (1, 4)  # it ends where it was


@pytest.mark.usefixtures("each_worse")
def test_different_lengths(data: Path, tmp_path: Path) -> None:
    """None is given up where trials have different numbers of epochs, which the page says."""
    result = small_sweep(data, tmp_path / "sweep", search=["epochs=4,5"], trials=6)
    assert [trial.state for trial in result.trials] == ["finished"] * 6
    page = (tmp_path / "sweep" / "sweep.html").read_text(encoding="utf-8")
    assert "No trial is given up before its end: they are trained for different numbers of epochs." in page


@pytest.mark.parametrize(
    ("fields", "search", "is_one"),
    [
        ({}, "lr=0.1,0.2", True),
        ({}, "batch_size=8,16", True),
        ({"min_steps": 9}, "batch_size=8,16", False),
        ({"epochs": 0, "steps": 9}, "batch_size=8,16", False),
        ({"epochs": 0, "steps": 9}, "steps=9,12", False),
        ({}, "epochs=2..5", False),
        ({}, 'variant=[{}, {"epochs": 3}]', False),
        ({"min_steps": 9}, 'variant=[{}, {"batch_size": 8}]', False),
    ],
)
def test_equal_lengths(data: Path, fields: dict[str, Any], search: str, is_one: bool) -> None:
    config = small_config(data, **fields)
    assert have_one_length(config, parse_space(config, [search])) == is_one


def test_refused(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A network beyond the recipe's is not trained, and is no trial of those that were asked for."""
    result = small_sweep(data, tmp_path / "sweep", search=['model_options.blocks=["c8p", "c32p"]'], trials=3)
    states = Counter(trial.state for trial in result.trials)
    assert states["finished"] == 3
    assert states["refused"] >= 1
    refused = next(trial for trial in result.trials if trial.state == "refused")
    assert refused.params == {"model_options.blocks": "c32p"}
    assert "MACs are more than" in refused.reason
    assert refused.value is None
    assert not (tmp_path / "sweep" / f"trial-{refused.number:04d}").exists()
    study = optuna.load_study(study_name=None, storage=f"sqlite:///{tmp_path / 'sweep' / SWEEP_DATABASE}")
    assert study.trials[refused.number].constraints
    monkeypatch.setattr(work, "MAX_REFUSED", 3)
    with pytest.raises(ConfigError, match="the last 3 proposals were beyond the limits, of 1 parameters"):
        small_sweep(data, tmp_path / "none", max_params=1)


def test_failed(data: Path, tmp_path: Path) -> None:
    """A trial that cannot be trained says why; several in a row end the sweep."""
    search = ['model_options.blocks=["c8p", "x"]']
    result = small_sweep(data, tmp_path / "sweep", search=search, trials=2)
    states = Counter(trial.state for trial in result.trials)
    assert states["finished"] == 2
    assert all("blocks" in trial.reason for trial in result.trials if trial.state == "failed")
    with pytest.raises(TrainingError, match="the last 5 trials failed, the last one so: "):
        small_sweep(data, tmp_path / "none", search=['model_options.blocks=["x", "y"]'])
    assert [row["state"] for row in rows_of(tmp_path / "none" / "sweep.csv")] == ["failed"] * 5
    assert not (tmp_path / "none" / "best.toml").exists()
    assert "5 trials that failed" in (tmp_path / "none" / "sweep.html").read_text(encoding="utf-8")


def question_of(**fields: Any) -> Question:
    return Question(**{**vars(Question(("lr=0.1,0.2",), 3, None, 1, 1, "val_accuracy", None, "study", "")), **fields})


@pytest.mark.parametrize(
    ("states", "error"),
    [
        ("fffff", "the last 5 trials failed"),
        ("rfffff", "the last 5 trials failed"),
        ("fffffr", "the last 5 trials failed"),
        ("ffbrfbffr", "the last 5 trials failed"),
        ("bbrbbb", "the last 5 proposals were beyond the limits"),
        ("ffff", None),
        ("fff1ff", None),
        ("rrrrrr", None),
    ],
)
def test_trials_in_vain(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, states: str, error: str | None
) -> None:
    """Several that failed (f) or were refused (b) end a sweep, whichever trials run (r) in other processes meanwhile,
    but not after one that finished (1)."""
    monkeypatch.setattr(work, "MAX_REFUSED", 5)
    ends: dict[str, tuple[State, str]] = {
        "f": ("failed", "so"),
        "b": ("refused", ""),
        "r": ("running", ""),
        "1": ("finished", ""),
    }
    trials = [SweepTrial(number, ends[each][0], {}, reason=ends[each][1]) for number, each in enumerate(states)]
    monkeypatch.setattr(work, "read_trials", lambda study: trials)
    study = optuna.create_study()
    dataset = load_dataset(f"npz:{data}", val_fraction=0.2)
    sweep = work.Sweep(tmp_path, question_of(), small_config(data), (), dataset, Leaks(), study, "silent", say_nothing)
    if error is None:
        work._check_progress(sweep)
    else:
        with pytest.raises(ThumbnetError, match=error):
            work._check_progress(sweep)


def test_grid(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every combination once, in order, also where one fails and after a kill; none is given up."""
    search = ['variant=[{"lr": 0.1}, {"model_options": {"blocks": "x"}}]', "batch_size=8,16"]
    checkpoints: list[str] = []
    write_checkpoint = RunDir.write_checkpoint

    def killed(folder: RunDir, checkpoint: Any) -> None:
        write_checkpoint(folder, checkpoint)
        checkpoints.append(folder.path.name)
        if len(checkpoints) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(RunDir, "write_checkpoint", killed)
    with pytest.raises(KeyboardInterrupt):
        small_sweep(data, tmp_path / "sweep", search=search, trials=None, grid=True)
    result = thumbnet.resume_sweep(tmp_path / "sweep", log_style="silent")
    assert [trial.state for trial in result.trials] == ["finished", "finished", "failed", "failed"]
    assert [trial.params["batch_size"] for trial in result.trials] == [8, 16, 8, 16]
    assert [json.loads(str(trial.params["variant"])) for trial in result.trials[:2]] == [{"lr": 0.1}] * 2
    assert load_recipe(str(tmp_path / "sweep" / "best.toml")).optimizer.lr == 0.1
    assert thumbnet.resume_sweep(tmp_path / "sweep", log_style="silent").trials == result.trials


def test_minutes(data: Path, tmp_path: Path) -> None:
    """The first trial is made whatever they are; none that would end after them."""
    result = small_sweep(data, tmp_path / "sweep", trials=None, minutes=0.0001)
    assert [trial.state for trial in result.trials] == ["finished"]


def test_trials_are_claimed_once(data: Path, tmp_path: Path) -> None:
    """Of trials that two processes propose at the same time, as many as are wanted have their turn."""
    study = optuna.create_study(storage=f"sqlite:///{tmp_path / 'study.db'}")
    asked = study.ask()

    def add(trial: optuna.trial.FrozenTrial) -> None:
        study.tell(study.ask(), 1.0)  # another process is quicker
        original(trial)

    original = study.add_trial
    study.add_trial = add  # type: ignore[method-assign]
    assert claims.claim(study, "here", wanted=2) is None
    assert [trial.number for trial in claims.read_trials(study)] == [0, 1]
    study.add_trial = original  # type: ignore[method-assign]
    study.tell(asked.number, state=optuna.trial.TrialState.FAIL)
    again = claims.claim(study, "here", wanted=2)
    assert again is not None
    assert again.number == 3
    assert claims.claim(study, "here", wanted=2) is None


def test_a_trial_is_known_from_its_first_moment_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that is killed as it proposes one leaves it to `--resume`, and to whoever is begun in its place."""
    study = optuna.create_study(storage=f"sqlite:///{tmp_path / 'study.db'}")
    with monkeypatch.context() as patch:
        patch.setattr(optuna.Study, "add_trial", _killed_after(optuna.Study.add_trial))
        with pytest.raises(KeyboardInterrupt):
            claims.claim(study, "here", wanted=2, worker="one")
    assert claims.left_running(study, "here", is_shared=True) == [0]
    assert claims.left_running(study, "there", is_shared=True) == []
    assert claims.left_by(study, "one", ()) == [0]
    assert claims.left_by(study, "two", ()) == []


def test_left_running(tmp_path: Path) -> None:
    """Of a shared study, one's own trials are gone on with; one that an earlier version proposed and nobody claimed is
    given up after a while."""
    study = optuna.create_study(storage=f"sqlite:///{tmp_path / 'study.db'}")
    for place in ("here", "there", None):
        trial = study.ask()
        if place is not None:
            trial.set_user_attr("place", place)
    assert claims.left_running(study, "here", is_shared=True) == [0]
    assert len(claims.read_trials(study)) == 3
    assert claims.left_running(study, "here", is_shared=False) == [0, 1]
    assert len(claims.read_trials(study)) == 2


@pytest.mark.parametrize(
    ("length", "share"), [({"trials": 2}, 8), ({"trials": 20}, 2), ({"minutes": 1}, 2), ({"grid": True}, 4)]
)
def test_shares_of_the_processors(
    length: dict[str, Any], share: int, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of sixteen, where eight trials at once are asked for: a share for each trial that there will be, at most."""
    sessions: list[Session] = []

    def note(session: Session, _: object) -> None:
        sessions.append(session)
        raise RunError("that is enough")

    monkeypatch.setattr("thumbnet.specs.at_once.num_processors", lambda: 16)
    monkeypatch.setattr("thumbnet.runs.sweeps.sweep.run_session", note)
    search, config = ["batch_size=8,16", "lr=0.1,0.2"], small_config(data)
    with pytest.raises(RunError, match="that is enough"):
        thumbnet.sweep(config, search=search, jobs=8, run_dir=tmp_path / "sweep", log_style="silent", **length)
    assert sessions[0].config.engine.threads == share


def test_the_extra_brings_an_optuna_that_has_constraints() -> None:
    """A refused trial breaks one by `Trial.set_constraint`, which is new in Optuna 5.0."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert "optuna>=5.0" in project["optional-dependencies"]["sweep"]


def test_seeds_of_proposals() -> None:
    """They depend on the sweep's seed and the trial's number alone."""

    def draw(seed: int, number: int) -> float:
        study = optuna.create_study(sampler=sampler_of(seed, number))
        return study.ask().suggest_float("lr", 0, 1)

    assert draw(0, 1) == draw(0, 1)
    assert len({draw(0, 0), draw(0, 1), draw(1, 0), draw(1, 1)}) == 4


def test_best() -> None:
    trials = [
        SweepTrial(0, "finished", {}, value=0.5, val_loss=1.0),
        SweepTrial(1, "finished", {}, value=0.75, val_loss=0.5),
        SweepTrial(2, "finished", {}, value=0.75, val_loss=0.25),
        SweepTrial(3, "finished", {}, value=0.75, val_loss=0.25),
        SweepTrial(4, "pruned", {}, value=0.9),
    ]
    assert best_of(trials) == trials[2]
    assert best_of(trials[4:]) is None


@pytest.mark.parametrize(
    ("fields", "options", "message"),
    [
        ({}, {"trials": None}, "neither trials nor minutes"),
        ({}, {"trials": 0}, "trials is 0"),
        ({}, {"minutes": 0}, "minutes is 0"),
        ({}, {"max_macs": 0}, "max_macs is 0"),
        ({}, {"grid": True}, "a grid is given 3 trials"),
        ({}, {"grid": True, "trials": None}, "a grid is of choices"),
        ({}, {"storage": "mysql://root@localhost/x"}, "storage is an address of mysql"),
        ({}, {"storage": "sqlite://"}, "storage is an address of sqlite"),
        ({}, {"storage": "here"}, "storage is no address"),
        ({}, {"storage": f"postgresql://user@host:{'9' * 5000}/name"}, "storage is no address"),
        ({"val_fraction": 0.0}, {}, "none are held out"),
        ({"score_test": "each-epoch"}, {}, "a sweep never looks at the test set"),
        ({"epochs": 0, "minutes": 1.0}, {}, "plans a training of 1 minute,"),
        ({"init": "auto"}, {}, "init is 'auto', but only `train` chooses"),
        ({}, {"search": ['init=["auto", "sprint"]']}, "init is 'auto', but only `train` chooses"),
        ({}, {"search": ['variant=[{}, {"init": "auto"}]']}, "init is 'auto', but only `train` chooses"),
    ],
)
def test_refused_questions(
    data: Path, tmp_path: Path, fields: dict[str, Any], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ThumbnetError, match=message):
        small_sweep(data, tmp_path / "sweep", fields=fields, **options)
    assert not (tmp_path / "sweep").exists()


def test_passwords_are_not_kept() -> None:
    place = parse_storage("postgresql://me:secret@host/db?sslpassword=hidden&sslmode=require")
    assert place.shown == "postgresql+psycopg://me@host/db?sslmode=require"
    assert place.is_shared
    assert not parse_storage("sqlite:///file.db").is_shared


def test_resume_is_of_the_same(swept: SweepResult, data: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="holds no sweep"):
        thumbnet.resume_sweep(tmp_path)
    with pytest.raises(ConfigError, match="the sweep's is in its folder"):
        thumbnet.resume_sweep(swept.path, storage="sqlite:///other.db", log_style="silent")
    dataset = load_dataset(f"npz:{data}", val_fraction=0.2)
    other = replace(dataset, train=replace(dataset.train, images=255 - dataset.train.images))
    with pytest.raises(RunError, match="begun on other data"):
        thumbnet.resume_sweep(swept.path, dataset=other, log_style="silent")
    with pytest.raises(RunError, match="not empty"):
        small_sweep(data, swept.path)


def test_a_sweep_of_a_given_dataset_goes_on_with_its_folder(tmp_path: Path) -> None:
    config = config_for(write_pictures(tmp_path / "pets"))
    dataset = load_dataset(config.data, image_size=12, val_fraction=0.25)
    options: dict[str, Any] = {"search": [LR], "trials": 1, "log_style": "silent"}
    first = thumbnet.sweep(config, dataset=dataset, run_dir=tmp_path / "sweep", **options)
    done = thumbnet.resume_sweep(first.path, trials=2, log_style="silent")
    assert (len(first.trials), len(done.trials)) == (1, 2)


def test_damaged_database(data: Path, tmp_path: Path) -> None:
    small_sweep(data, tmp_path / "sweep", trials=1)
    (tmp_path / "sweep" / SWEEP_DATABASE).write_bytes(b"no database" * 100)
    with pytest.raises(RunError, match=r"the storage sqlite:///.* cannot be used: file is not a database"):
        thumbnet.resume_sweep(tmp_path / "sweep", trials=2, log_style="silent")


def test_command(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The verb makes the same, prints the best, and goes on."""
    monkeypatch.chdir(tmp_path)
    recipe = tmp_path / "small.toml"
    recipe.write_text(config_to_toml(small_config(data)))
    call = ["sweep", "--recipe", str(recipe), "--search", LR, "--log-style", "silent"]
    assert main([*call, "--trials", "1"]) == 0
    out = capsys.readouterr().out
    folder = Path("runs/sweep-small-1")
    assert out.splitlines()[0] == "1 finished"
    assert re.fullmatch(r"best: trial 0, accuracy [\d.]+% on validation", out.splitlines()[1])
    assert out.splitlines()[-2:] == [f"train it: thumbnet train --recipe {folder / 'best.toml'}", f"results: {folder}"]
    assert (
        main(["sweep", "--run-dir", str(folder), "--resume", "--trials", "2", "--json", "--log-style", "silent"]) == 0
    )
    printed = json.loads(capsys.readouterr().out)
    assert (printed["finished"], printed["path"]) == (2, str(folder))
    assert printed["best"]["params"].keys() == {"lr"}
    assert printed["measure"] == "val_accuracy"
    assert main(["sweep", "--resume"]) == 2
    assert main([*call, "--run-dir", str(folder), "--resume"]) == 2
    assert "--recipe cannot be given with --resume" in capsys.readouterr().err
    assert main(["sweep", "--search", "lr=1", "--trials", "1"]) == 2
    assert "--search lr=1: it has 1 choice" in capsys.readouterr().err
    with sqlite3.connect(folder / SWEEP_DATABASE) as database:
        assert database.execute("select count(*) from trials").fetchone() == (2,)
    database.close()


def test_a_page_has_no_empty_column_no_share_of_one_field_and_no_chart_of_one_column(
    swept: SweepResult, data: Path, tmp_path: Path
) -> None:
    page = (swept.path / "sweep.html").read_text(encoding="utf-8")
    assert ">why</button>" not in page  # no trial was refused
    assert 'class="long"' not in page
    alone = small_sweep(data, tmp_path / "sweep", search=[LR], fields={"epochs": 1}, max_params=10**6, max_macs=10**9)
    page = (alone.path / "sweep.html").read_text(encoding="utf-8")
    assert "One field was searched: all differences are its own, or chance." in page
    assert 'class="importance"' not in page
    assert "<figcaption>Accuracy against MACs" not in page  # all in one column
    assert alone.trials[0].macs is not None
    assert f"all finished trials have the same, {plain(alone.trials[0].macs / 1e6)} million MACs." in page
    points = [SweepPoint(0.0, 0.5, macs, True) for macs in (10**6, 2 * 10**6)]
    assert (_front_chart(points) is None, _front_chart(points[:1])) == (False, None)


def test_a_short_sweep_is_told_in_seconds(swept: SweepResult) -> None:
    def ends(minutes: float) -> str:
        return _over_time([SweepPoint(minutes / 2, 0.5, 1, True), SweepPoint(minutes, 0.6, 1, True)]).svg

    assert ">seconds</text>" in ends(0.5)
    assert ">30</text>" in ends(0.5)
    assert ">minutes</text>" in ends(3.0)


def test_the_legend_of_points_is_a_point(swept: SweepResult) -> None:
    page = (swept.path / "sweep.html").read_text(encoding="utf-8")
    assert '<li class="key key-0 key-dot">finished trial</li>' in page
    assert '<li class="key key-1">best so far</li>' in page
