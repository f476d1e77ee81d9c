"""Trials of a sweep at once, in processes of their own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

import thumbnet
from small_runs import small_config, write_small_data
from thumbnet.recipes import load_recipe
from thumbnet.runs.jobs.job import Job
from thumbnet.runs.sweeps import session
from thumbnet.runs.sweeps.question import Question
from thumbnet.runs.sweeps.session import OneOfSeveral, Session
from thumbnet.specs.at_once import AtOnce

pytestmark = pytest.mark.services


def test_trials_at_once(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """As many as are wanted, none twice, by both processes; the best one's recipe gives its accuracy again."""
    config = small_config(write_small_data(tmp_path / "data.npz"), epochs=30)
    folder = tmp_path / "sweep"
    swept = thumbnet.sweep(config, search=["lr=0.01..0.5:log"], trials=6, jobs=2, run_dir=folder)
    assert Counter(trial.state for trial in swept.trials).keys() <= {"finished", "pruned"}
    assert [trial.number for trial in swept.trials] == list(range(6))
    assert len({trial.params["lr"] for trial in swept.trials}) == 6
    told = capfd.readouterr().err
    assert "worker 1: Trial " in told
    assert "worker 2: Trial " in told
    recipe = load_recipe(str(folder / "best.toml"))
    assert recipe.engine.threads is not None
    run = thumbnet.train(recipe, run_dir=tmp_path / "run", pictures=False, log_style="silent")
    assert swept.best is not None
    assert run.metrics["val_accuracy"] == swept.best.value
    assert run.metrics["val_loss"] == swept.best.val_loss


def test_left_trials_are_divided(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of those that a process was killed in is gone on with by one of the processes."""
    given: list[OneOfSeveral] = []

    def run_jobs(jobs: Sequence[Job], *_: object, **__: object) -> list[object]:
        given.extend(job.call for job in jobs if isinstance(job.call, OneOfSeveral))
        return []

    monkeypatch.setattr(session, "run_jobs", run_jobs)
    config = small_config(write_small_data(tmp_path / "data.npz"))
    question = Question(("lr=0.1,0.2",), 3, None, 1, 1, "val_accuracy", None, "study", "")
    made = Session(tmp_path, question, config, (), None, 1, None, "silent", None)
    session._make_at_once(made, [3, 4, 7], AtOnce(2))
    assert [each.left for each in given] == [(3, 7), (4,)]
