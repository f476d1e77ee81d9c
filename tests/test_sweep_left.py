"""Trials that a sweep leaves to be finished: what the machine refuses is no fault of a trial's values."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import thumbnet
from small_runs import rows_of, small_sweep, write_small_data
from thumbnet.cli import main
from thumbnet.config import config_to_toml
from thumbnet.errors import CheckpointError, RunError, TrainingError
from thumbnet.runs.files.checked_folder import CheckedFolder
from thumbnet.runs.run import RunDir


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_data(tmp_path_factory.mktemp("data") / "data.npz")


def states_in(folder: Path) -> list[str]:
    return [row["state"] for row in rows_of(folder / "sweep.csv")]


def test_full_disk(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told, in the page, too, and once there is room the trial ends as it would have."""
    folder, write_checkpoint = tmp_path / "sweep", RunDir.write_checkpoint

    def full(run: RunDir, checkpoint: Any) -> None:
        if run.path.name == "trial-0001" and checkpoint.state.epoch == 2:
            raise RunError("no space left on device")
        write_checkpoint(run, checkpoint)

    with monkeypatch.context() as patch:
        patch.setattr(RunDir, "write_checkpoint", full)
        with pytest.raises(RunError, match="no space left on device"):
            small_sweep(data, folder, trials=2, fields={"epochs": 2})
    assert states_in(folder) == ["finished", "running"]
    assert "1 trial that is not finished yet." in (folder / "sweep.html").read_text(encoding="utf-8")
    resumed = thumbnet.resume_sweep(folder, log_style="silent")
    whole = small_sweep(data, tmp_path / "whole", trials=2, fields={"epochs": 2})
    assert [(trial.state, trial.value) for trial in resumed.trials] == [
        (trial.state, trial.value) for trial in whole.trials
    ]


def test_no_room_for_the_page(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is told is the first error, not that of the table or the page."""

    def full(folder: CheckedFolder, *_: object) -> None:
        raise RunError(f"no room in {folder.path.name}")

    monkeypatch.setattr(RunDir, "write_checkpoint", full)
    monkeypatch.setattr(CheckedFolder, "write", full)
    with pytest.raises(RunError, match="no room in trial-0000"):
        small_sweep(data, tmp_path / "sweep", trials=1)


@pytest.fixture
def killed(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A sweep that was killed after the first of two epochs of its first trial."""
    write_checkpoint = RunDir.write_checkpoint

    def write_and_die(run: RunDir, checkpoint: Any) -> None:
        write_checkpoint(run, checkpoint)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(RunDir, "write_checkpoint", write_and_die)
        with pytest.raises(KeyboardInterrupt):
            small_sweep(data, tmp_path / "sweep", trials=1, fields={"epochs": 2})
    return tmp_path / "sweep"


def test_changes_are_accepted(killed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A trial of another PyTorch is not lost: that is refused, or accepted and recorded, for a whole run of it, too."""
    trial = RunDir(killed / "trial-0000")
    checkpoint = trial.read_checkpoint()
    assert checkpoint is not None
    trial.write_checkpoint(replace(checkpoint, environment=replace(checkpoint.environment, torch="9.9")))
    call = ["sweep", "--run-dir", str(killed), "--resume", "--log-style", "silent"]
    assert main(call) == 2
    told = capsys.readouterr().err
    assert "torch was 9.9 and is" in told
    assert "--accept-changes (in Python accept_changes=True): trial.json then records it" in told
    assert states_in(killed) == ["running"]
    assert main([*call, "--accept-changes"]) == 0
    assert states_in(killed) == ["finished"]
    changes = [f"from epoch 2 on: torch was 9.9 and is {torch.__version__}"]
    assert json.loads((trial.path / "trial.json").read_text())["resumed_with_changes"] == changes
    run = thumbnet.resume(trial.path, pictures=False, log_style="silent")
    assert run.metrics["resumed_with_changes"] == changes


def test_device_that_is_gone(killed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The hint says what can be done: a sweep that goes on takes no --device."""
    folder = RunDir(killed)
    folder.write_checked({"asked.toml": config_to_toml(folder.read_config("asked.toml").replace(device="cuda:7"))})
    assert main(["sweep", "--run-dir", str(killed), "--resume", "--log-style", "silent"]) == 2
    told = capsys.readouterr().err
    assert f"the sweep {killed} cannot go on here: device 'cuda:7' is not " in told
    assert "go on where such a device is, or begin a new sweep with --device auto" in told


def test_damaged_checkpoint(killed: Path) -> None:
    """The trial is told, and begins anew once its checkpoint is deleted, as the hint says."""
    path = killed / "trial-0000" / "checkpoint-last.pt"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match=r"trial-0000/checkpoint-last\.pt is damaged") as caught:
        thumbnet.resume_sweep(killed, log_style="silent")
    assert "delete it" in caught.value.hint
    path.unlink()
    resumed = thumbnet.resume_sweep(killed, log_style="silent")
    assert [(trial.state, trial.epochs) for trial in resumed.trials] == [("finished", 2)]


def test_values_that_name_no_run(data: Path, tmp_path: Path) -> None:
    """Those fail, wherever it is: another value may be better."""
    with pytest.raises(TrainingError, match=r"the last one so: .* is neither a run folder"):
        small_sweep(data, tmp_path / "sweep", search=['init=["missing", "gone"]'])
    assert states_in(tmp_path / "sweep") == ["failed"] * 5


def test_changes_without_resume(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sweep", "--search", "lr=0.1,0.2", "--trials", "1", "--accept-changes"]) == 2
    assert "--accept-changes is given without --resume" in capsys.readouterr().err


def test_storage_that_is_another_one(killed: Path) -> None:
    """The folder of a trial with other values is not taken for that of this one; moved away, it is trained anew."""
    trial = RunDir(killed / "trial-0000")
    asked = trial.read_asked()
    assert asked is not None
    trial.write_checked({"asked.toml": config_to_toml(asked.replace(lr=0.123))})
    with pytest.raises(RunError, match="trial-0000 was begun with other values than the sweep's storage has") as caught:
        thumbnet.resume_sweep(killed, log_style="silent")
    assert "move the folders of its trials away" in caught.value.hint
    trial.path.rename(killed.parent / "trial-0000")
    assert [each.state for each in thumbnet.resume_sweep(killed, log_style="silent").trials] == ["finished"]
