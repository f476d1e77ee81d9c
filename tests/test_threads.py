"""`threads`: a training computes with so many, records it, and goes on with it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from small_runs import small_config, write_small_data
from thumbnet.cli import main
from thumbnet.config import TrainConfig
from thumbnet.data_check.check import check_data
from thumbnet.errors import CheckpointError, ConfigError
from thumbnet.runs.lr import find_recipe_lr
from thumbnet.runs.reproduce import reproducing_command
from thumbnet.runs.resume import resume
from thumbnet.runs.run import RunDir
from thumbnet.runs.train import train
from thumbnet.specs.engine import Engine
from thumbnet.training.stopping import OnEpochEnd


@pytest.fixture
def config(tmp_path: Path) -> TrainConfig:
    return small_config(write_small_data(tmp_path / "data.npz"), epochs=2, threads=2)


def fails_after(num_epochs: int) -> OnEpochEnd:
    def fail(state: object) -> None:
        if state.epoch == num_epochs:  # type: ignore[attr-defined]
            raise KeyboardInterrupt

    return fail


def test_a_training_computes_with_them_and_records_them(config: TrainConfig, tmp_path: Path) -> None:
    run = train(config, run_dir=tmp_path / "run", log_style="silent", pictures=False)
    assert run.metrics["num_threads"] == 2
    assert torch.get_num_threads() == 1
    assert "threads = 2\n" in (tmp_path / "run" / "config.toml").read_text()
    without = train(config.replace(threads=None), run_dir=tmp_path / "other", log_style="silent", pictures=False)
    assert without.metrics["num_threads"] == 1
    assert "threads" not in (tmp_path / "other" / "config.toml").read_text()


def test_a_resume_goes_on_with_them_also_without_a_checkpoint(config: TrainConfig, tmp_path: Path) -> None:
    path = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        train(config, run_dir=path, log_style="silent", pictures=False, on_epoch_end=fails_after(1))
    checkpoint = RunDir(path).read_checkpoint()
    assert checkpoint is not None
    assert checkpoint.environment.num_threads == 2
    text = (path / "config.toml").read_text()
    (path / "config.toml").write_text(text.replace("threads = 2", "threads = 1"))
    with pytest.raises(CheckpointError, match="threads was 2 and is 1"):
        resume(path, log_style="silent", pictures=False)
    (path / "config.toml").write_text(text)
    (path / "checkpoint-last.pt").unlink()
    assert resume(path, log_style="silent", pictures=False).metrics["num_threads"] == 2


def test_whatever_trains_obeys_them(config: TrainConfig, tmp_path: Path) -> None:
    seen = []

    def spy(images: torch.Tensor) -> torch.Tensor:
        seen.append(torch.get_num_threads())
        return images

    quiet = {"log_style": "silent", "augmentation": spy}
    check_data(config, num_folds=2, num_repeats=1, out=tmp_path / "check", **quiet)  # type: ignore[arg-type]
    checked = len(seen)
    find_recipe_lr(config.replace(augmentation="given:spy"), log_style="silent")
    assert checked < len(seen)
    assert set(seen) == {2}
    assert torch.get_num_threads() == 1


def test_the_command_names_them_and_a_resume_takes_no_others(
    config: TrainConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    quiet = ["--log-style", "silent", "--no-pictures"]
    options = ["--epochs", "1", "--set", "model_options.blocks=c8p", "--threads", "2", "--run-dir", str(tmp_path / "r")]
    assert main(["train", "--model", "sprint", "--data", config.data, *options, *quiet]) == 0
    run = RunDir(tmp_path / "r")
    command = reproducing_command(run.read_config(), run.read_asked(), sides=(16, 16))
    assert "--threads 2" in command
    assert main(["train", "--resume", str(tmp_path / "r"), "--threads", "1", *quiet]) == 2
    assert "--threads cannot be given with --resume" in capsys.readouterr().err


@pytest.mark.parametrize("threads", [0, -1, 1025])
def test_a_number_that_no_machine_has_is_refused(threads: int) -> None:
    with pytest.raises(ConfigError, match=f"threads is {threads}"):
        Engine(threads=threads)
