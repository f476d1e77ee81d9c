"""Trials of a sweep at once, in processes of their own."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import optuna
import pytest

import thumbnet
from small_runs import rows_of, small_config, write_small_data
from thumbnet.errors import JobsFailedError
from thumbnet.recipes import load_recipe
from thumbnet.runs.jobs.job import Job, Outcome
from thumbnet.runs.sweeps import claims, session
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


# A network of the user's own that ends its process in its first training where a file is, which it removes first.
DEADLY = """
import multiprocessing, os, signal
from pathlib import Path

import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, num_classes, in_channels):
        super().__init__()
        self.head = nn.Linear(256 * in_channels, num_classes)

    def forward(self, images):
        if self.training and torch.is_grad_enabled() and multiprocessing.current_process().name != "MainProcess":
            try:
                Path({flag!r}).unlink()
                os.kill(os.getpid(), signal.SIGKILL)
            except FileNotFoundError:
                pass
        return self.head(images.flatten(1))
"""


def test_one_process_dies(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """It is told before the other has ended, and begun once more: it then finishes its trial."""
    flag, code = tmp_path / "flag", tmp_path / "net.py"
    flag.touch()
    code.write_text(DEADLY.format(flag=str(flag)))
    config = small_config(write_small_data(tmp_path / "data.npz"), model=f"{code}:Net", model_options={})
    folder = tmp_path / "sweep"
    swept = thumbnet.sweep(config, search=["lr=0.01..0.1"], trials=12, jobs=2, run_dir=folder, log_style="reference")
    told = capfd.readouterr().err
    dead = re.search(r"^(worker \d): its process ended .*: it is begun once more$", told, re.MULTILINE)
    assert dead is not None
    going_on = re.search(rf"^{dead[1]}: Going on with trial (\d+)\.$", told[dead.end() :], re.MULTILINE)
    assert going_on is not None
    assert f"{dead[1]}: Trial {going_on[1]}: finished after" in told[dead.end() :]
    assert [trial.number for trial in swept.trials] == list(range(12))
    assert {row["state"] for row in rows_of(folder / "sweep.csv")} <= {"finished", "pruned"}


def test_one_process_dies_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is begun once more, with the trials that it left, and no more than once: the trials are left to --resume."""
    study = optuna.create_study(storage=f"sqlite:///{tmp_path / 'study.db'}")
    left = [claims.claim(study, "here", wanted=None, worker="of another command") for _ in range(4)]
    dead = Outcome("worker 2", error="its process ended", has_died=True)

    def run_jobs(jobs: Sequence[Job], *_: object, on_end: Any, **__: object) -> list[Outcome]:
        calls = [job.call for job in jobs if isinstance(job.call, OneOfSeveral)]
        assert [call.left for call in calls] == [(0, 2), (1, 3)]
        study.tell(1, 0.5)
        for call in calls:
            claims.claim(study, "here", wanted=None, worker=call.worker)
        again = on_end(dead)
        assert (again.name, again.call.left) == ("worker 2", (3, 5))
        assert on_end(dead) is None
        return [Outcome("worker 1"), dead]

    monkeypatch.setattr(session, "run_jobs", run_jobs)
    config = small_config(write_small_data(tmp_path / "data.npz"))
    question = Question(("lr=0.1,0.2",), 9, None, 1, 1, "val_accuracy", None, "study", "")
    made = Session(tmp_path, question, config, (), None, None, 1, None, "silent", None)
    with pytest.raises(JobsFailedError, match="1 of 2 jobs failed:\n  worker 2: its process ended") as caught:
        session._make_at_once(made, study, [trial.number for trial in left if trial], AtOnce(2))
    assert caught.value.hint.endswith("--resume")


def test_all_trials_fail(tmp_path: Path) -> None:
    """Both processes end, after a few trials; the table and the page tell of them."""
    config = small_config(write_small_data(tmp_path / "data.npz"))
    folder = tmp_path / "sweep"
    with pytest.raises(JobsFailedError, match="trials failed, the last one so: "):
        thumbnet.sweep(
            config, search=['model_options.blocks=["x", "y"]'], minutes=1, jobs=2, run_dir=folder, log_style="silent"
        )
    states = [row["state"] for row in rows_of(folder / "sweep.csv")]
    assert set(states) == {"failed"}
    assert 5 <= len(states) <= 10
    assert "trials that failed: the table says why." in (folder / "sweep.html").read_text(encoding="utf-8")


def test_left_trials_are_divided(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of those that a process was killed in is gone on with by one of the processes."""
    given: list[OneOfSeveral] = []

    def run_jobs(jobs: Sequence[Job], *_: object, **__: object) -> list[object]:
        given.extend(job.call for job in jobs if isinstance(job.call, OneOfSeveral))
        return []

    monkeypatch.setattr(session, "run_jobs", run_jobs)
    config = small_config(write_small_data(tmp_path / "data.npz"))
    question = Question(("lr=0.1,0.2",), 3, None, 1, 1, "val_accuracy", None, "study", "")
    made = Session(tmp_path, question, config, (), None, None, 1, None, "silent", None)
    session._make_at_once(made, optuna.create_study(), [3, 4, 7], AtOnce(2))
    assert [each.left for each in given] == [(3, 7), (4,)]
    given.clear()
    session._make_at_once(made, optuna.create_study(), [], AtOnce(8))  # no more processes than trials
    assert [each.left for each in given] == [(), (), ()]
