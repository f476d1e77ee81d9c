"""`train --folds K --minutes M`: each fold keeps to a clock of its own, and its own config gives its weights again."""

from __future__ import annotations

import itertools
import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from small_runs import small_config, write_small_data
from test_minutes import record_of
from thumbnet.cli import main
from thumbnet.config import TrainConfig, config_to_toml
from thumbnet.recipes import load_recipe
from thumbnet.runs.folds import report_parts
from thumbnet.runs.folds import train as folds_train
from thumbnet.runs.folds.runs import FoldRuns, load_folds
from thumbnet.runs.folds.table import FoldList
from thumbnet.runs.folds.train import resume_folds, train_folds
from thumbnet.runs.planning.choose import Planned
from thumbnet.runs.planning.facts import facts_of
from thumbnet.runs.planning.record import PlanRecord
from thumbnet.runs.reproduce import PYTHON_FROM_CONFIG
from thumbnet.runs.resolve import load_data, say_nothing
from thumbnet.runs.run import RunDir
from thumbnet.runs.train import train
from thumbnet.runs.write_report import write_report
from thumbnet.training.clock import Clock

PLANNED, SECONDS = 20, (9.0, 60.0)  # steps of the plan, and how long each fold has, of which a step takes two
QUIET: dict[str, Any] = {"log_style": "silent", "pictures": False}


def made_plan(config: TrainConfig, **more: Any) -> Planned:
    dataset, _ = load_data(config.replace(minutes=None, epochs=1), say=say_nothing)
    record = replace(record_of("small", facts_of(dataset)), steps=PLANNED, max_steps=50)
    return Planned(config.replace(minutes=None, steps=PLANNED), dataset, record)


@pytest.fixture(scope="module")
def folds(tmp_path_factory: pytest.TempPathFactory) -> FoldRuns:
    """Trained by the command, by clocks that go on by a second whenever they are looked at."""
    folder, times = tmp_path_factory.mktemp("minutes"), iter(SECONDS)

    def clock(record: PlanRecord, *, deadline_s: float) -> Clock:
        seconds = itertools.count()
        return Clock(next(times), 0.0, 0.0, record.max_steps, now=lambda: float(next(seconds)))

    recipe = folder / "small.toml"
    recipe.write_text(config_to_toml(small_config(write_small_data(folder / "data.npz"))))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(folds_train, "plan_training", made_plan)
        patch.setattr(PlanRecord, "clock", clock)
        words = ["train", "--recipe", str(recipe), "--minutes", "1", "--folds", "2", "--run-dir", str(folder / "folds")]
        assert main([*words, "--no-pictures", "--log-style", "silent"]) == 0
    return load_folds(folder / "folds")


def test_each_fold_follows_its_own_clock(folds: FoldRuns) -> None:
    paces = [run.config.pace for run in folds.runs]
    assert None not in paces
    few, many = (pace.num_steps for pace in paces if pace is not None)
    assert few < PLANNED < many
    assert [run.metrics["steps"] for run in folds.runs] == [few, many]
    assert [run.metrics["minutes"] for run in folds.runs] == [1.0, 1.0]
    shared = RunDir(folds.path).read_config("shared.toml")
    assert (shared.steps, shared.pace_starts, shared.minutes) == (PLANNED, None, None)


@pytest.mark.parametrize("fold", [0, 1])
def test_its_own_config_gives_a_folds_weights_again(folds: FoldRuns, fold: int, tmp_path: Path) -> None:
    run = folds.runs[fold]
    again = train(load_recipe(str(run.path / "config.toml")), run_dir=tmp_path / "again", **QUIET)
    ours, theirs = run.model.state_dict(), again.model.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert again.metrics["test_loss"] == run.metrics["test_loss"]


def test_folds_that_go_on_have_minutes_where_they_are_begun_and_their_pace_where_they_were(
    folds: FoldRuns, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deadlines: list[float] = []

    def clock(record: PlanRecord, *, deadline_s: float) -> Clock:
        deadlines.append(deadline_s - time.perf_counter())
        seconds = itertools.count()
        return Clock(SECONDS[1], 0.0, 0.0, record.max_steps, now=lambda: float(next(seconds)))

    monkeypatch.setattr(PlanRecord, "clock", clock)
    path = shutil.copytree(folds.path, tmp_path / "folds")
    shutil.rmtree(path / "fold-1")
    for folder in (path, path / "fold-0"):
        (folder / "metrics.json").unlink()
    again = resume_folds(path, **QUIET)
    assert deadlines == [pytest.approx(60, abs=10)]  # fold 1, from when it began
    for run, other in zip(folds.runs, again.runs, strict=True):
        assert other.config.pace == run.config.pace
        ours, theirs = run.model.state_dict(), other.model.state_dict()
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_the_config_that_all_share_gives_other_weights(folds: FoldRuns, tmp_path: Path) -> None:
    """Which the report must not call the same."""
    shared = load_recipe(str(folds.path / "shared.toml"))
    again = train_folds(shared, num_folds=2, run_dir=tmp_path / "again", **QUIET)
    assert [run.metrics["steps"] for run in again.runs] == [PLANNED, PLANNED]
    page = write_report(again.path).read_text()
    assert "<pre><code>thumbnet train --recipe shared.toml --folds 2</code></pre>" in page  # no minutes, no clock


def test_the_report_says_which_command_gives_the_same_weights(folds: FoldRuns, tmp_path: Path) -> None:
    page = write_report(folds.path, tmp_path / "report.html").read_text()
    lines = page.partition('id="reproduce"')[2].partition("<pre><code>")[2].partition("</code></pre>")[0].splitlines()
    assert [line for line in lines if not line.startswith("#")] == [
        "thumbnet train --recipe fold-0/config.toml",
        "thumbnet train --recipe shared.toml --folds 2",
    ]
    assert lines[0].startswith("# the weights of fold-0 again, by the steps that its own clock made")
    assert "other weights" in lines[2]


def test_code_that_was_given_in_python_is_given_again(folds: FoldRuns, monkeypatch: pytest.MonkeyPatch) -> None:
    given = f"{PYTHON_FROM_CONFIG}model=...)"
    monkeypatch.setattr(report_parts, "reproducing_command", lambda *_, **__: given)
    command = report_parts.folds_command(RunDir(folds.path), folds.runs, FoldList(2, (0, 1), ""))
    assert [line for line in command.splitlines() if not line.startswith("#")] == [
        'thumbnet.train(thumbnet.load_recipe("fold-0/config.toml"), model=...)',
        'thumbnet.train_folds(thumbnet.load_recipe("shared.toml"), model=..., num_folds=2, num_seeds=2)',
    ]


def test_the_report_says_that_each_fold_was_scored_once(folds: FoldRuns, tmp_path: Path) -> None:
    page = write_report(folds.path, tmp_path / "report.html").read_text()
    assert "Each fold was scored once, after the last epoch" in page
    assert "The test set was scored" not in page
