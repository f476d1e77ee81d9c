"""A run goes on as it began, or says before it trains what is different."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from small_runs import small_config, write_small_data
from thumbnet.cli import main
from thumbnet.errors import CheckpointError, ConfigError, RunError
from thumbnet.runs import ranks
from thumbnet.runs.files.checkpoint import Checkpoint
from thumbnet.runs.resume import resume
from thumbnet.runs.run import RunDir, load_run
from thumbnet.runs.train import train


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two epochs that was stopped after the first."""
    folder = tmp_path_factory.mktemp("begun")
    config = small_config(write_small_data(folder / "data.npz"), epochs=2)
    stop_after_an_epoch(config, folder / "run")
    return folder / "run"


@pytest.fixture
def stopped(begun: Path, tmp_path: Path) -> Path:
    return shutil.copytree(begun, tmp_path / "run")


@pytest.fixture
def one_thread_after() -> Iterator[None]:
    yield
    torch.set_num_threads(1)


def stop_after_an_epoch(config: object, path: Path) -> None:
    """Train until the first checkpoint is written; then an interruption comes, as from the keyboard."""

    class Interrupts:
        def write(self, text: str) -> int:
            if (path / "checkpoint-last.pt").exists():
                raise KeyboardInterrupt
            return len(text)

        def flush(self) -> None: ...

        def isatty(self) -> bool:
            return False

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stderr", Interrupts())
        with pytest.raises(KeyboardInterrupt):
            train(config, run_dir=path, log_style="reference", pictures=False)  # type: ignore[arg-type]
    assert not (path / "metrics.json").exists()


def test_the_checkpoint_is_written_before_the_epoch_is_reported(begun: Path) -> None:
    checkpoint = RunDir(begun).read_checkpoint()
    assert checkpoint is not None
    assert checkpoint.state.epoch == 1


def test_an_unchanged_run_ends_with_the_bytes_of_an_uninterrupted_one(stopped: Path, small_run: Path) -> None:
    resumed = resume(stopped, log_style="silent", pictures=False)
    assert (stopped / "model.safetensors").read_bytes() == (small_run / "model.safetensors").read_bytes()
    assert "resumed_with_changes" not in resumed.metrics


@pytest.mark.usefixtures("one_thread_after")
def test_it_computes_with_as_many_threads_as_before(
    stopped: Path, small_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.set_num_threads(2)
    resumed = resume(stopped, pictures=False)
    assert "1 thread" in capsys.readouterr().err
    assert resumed.metrics["num_threads"] == 1
    assert torch.get_num_threads() == 2
    assert (stopped / "model.safetensors").read_bytes() == (small_run / "model.safetensors").read_bytes()


def test_more_processes_than_a_batch_has_images_are_refused(stopped: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranks, "current_ranks", lambda: SimpleNamespace(size=17))
    before = sorted(path.name for path in stopped.iterdir())
    with pytest.raises(ConfigError, match="batch_size is 16, but 17 processes"):
        resume(stopped, log_style="silent", pictures=False)
    assert sorted(path.name for path in stopped.iterdir()) == before


def test_a_compiled_network_with_norms_of_the_whole_batch_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = small_config(write_small_data(tmp_path / "data.npz"), compiled=True)
    with monkeypatch.context() as several:
        several.setattr(ranks, "current_ranks", lambda: SimpleNamespace(size=2))
        with pytest.raises(ConfigError, match="compiled is true, and so is sync_norm"):
            train(config, run_dir=tmp_path / "run", log_style="silent", pictures=False)
        ranks.check_for_ranks(config.replace(sync_norm=False))
        ranks.check_for_ranks(config.replace(compiled=False))
    assert not (tmp_path / "run").exists()
    ranks.check_for_ranks(config)  # of one process


def edit_config(run: Path, old: str, new: str) -> None:
    text = (run / "config.toml").read_text()
    assert old in text
    (run / "config.toml").write_text(text.replace(old, new))


def test_an_edited_config_is_refused_or_accepted_and_recorded(stopped: Path) -> None:
    edit_config(stopped, "lr = 0.05", "lr = 0.04")
    before = sorted(path.name for path in stopped.iterdir())
    with pytest.raises(CheckpointError, match=r"lr was 0\.05 and is 0\.04") as caught:
        resume(stopped, log_style="silent", pictures=False)
    assert "--accept-changes" in caught.value.hint
    assert sorted(path.name for path in stopped.iterdir()) == before
    resumed = resume(stopped, log_style="silent", pictures=False, accept_changes=True)
    assert resumed.config.optimizer.lr == 0.04
    assert resumed.metrics["resumed_with_changes"] == ["from epoch 2 on: lr was 0.05 and is 0.04"]
    assert load_run(stopped).config.optimizer.lr == 0.04


def with_environment(checkpoint: Checkpoint, **changes: object) -> Checkpoint:
    """The same checkpoint as if it had been computed otherwise."""
    return dataclasses.replace(checkpoint, environment=dataclasses.replace(checkpoint.environment, **changes))  # type: ignore[arg-type]


def test_another_number_of_processes_is_accepted_said_and_recorded(
    stopped: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint = RunDir(stopped).read_checkpoint()
    assert checkpoint is not None
    RunDir(stopped).write_checkpoint(with_environment(checkpoint, num_ranks=2, num_threads=7))
    resumed = resume(stopped, log_style="reference", pictures=False)
    threads = torch.get_num_threads()
    changes = [f"num_threads was 7 and is {threads}", "num_ranks was 2 and is 1"]
    assert f"which metrics.json records: {', '.join(changes)}." in capsys.readouterr().err
    assert resumed.metrics["resumed_with_changes"] == [f"from epoch 2 on: {change}" for change in changes]


def test_other_kernels_are_refused_and_accepted(stopped: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checkpoint = RunDir(stopped).read_checkpoint()
    assert checkpoint is not None
    elsewhere = with_environment(checkpoint, kernels="native (g++)", torch="9.9", num_ranks=2)
    RunDir(stopped).write_checkpoint(elsewhere)
    assert main(["train", "--resume", str(stopped), "--log-style", "silent", "--no-pictures"]) == 2
    said = capsys.readouterr().err
    assert "kernels was native (g++) and is pytorch" in said
    assert "torch was 9.9 and is" in said
    assert main(["train", "--resume", str(stopped), "--log-style", "silent", "--no-pictures", "--accept-changes"]) == 0
    (first, second, third) = json.loads((stopped / "metrics.json").read_text())["resumed_with_changes"]
    assert "kernels" in first
    assert "torch" in second
    assert "num_ranks" in third


def test_more_threads_than_there_are_cores_are_refused(stopped: Path) -> None:
    checkpoint = RunDir(stopped).read_checkpoint()
    assert checkpoint is not None
    RunDir(stopped).write_checkpoint(with_environment(checkpoint, num_threads=1000))
    with pytest.raises(CheckpointError, match="num_threads was 1000 and is"):
        resume(stopped, log_style="silent", pictures=False)


def test_a_config_edited_before_the_first_epoch_is_refused(stopped: Path) -> None:
    (stopped / "checkpoint-last.pt").unlink()
    edit_config(stopped, "lr = 0.05", "lr = 0.04")
    with pytest.raises(RunError, match=r"config\.toml"):
        resume(stopped, log_style="silent", pictures=False)
    assert resume(stopped, log_style="silent", pictures=False, accept_changes=True).config.optimizer.lr == 0.04


def test_accept_changes_without_resume_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--accept-changes"]) == 2
    assert "--resume" in capsys.readouterr().err
