"""A training reads, traces, draws and scores once; data can be handed in; pictures can be left out."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from small_runs import small_config
from thumbnet.cli import main
from thumbnet.data.dataset import Dataset
from thumbnet.data.sources import load_dataset
from thumbnet.errors import ConfigError
from thumbnet.models.registry import register_model
from thumbnet.models.sprint import SprintNet
from thumbnet.runs.results import record
from thumbnet.runs.resume import resume
from thumbnet.runs.train import train
from thumbnet.training.history import EpochRecord, History
from thumbnet.training.state import state_after

PICTURES = {"curves.png", "confusion.png", "misclassified.png", "report.html", "graph.svg"}


class CountingNet(SprintNet):
    """Counts the images that it sees in evaluation mode, which training does not use."""

    seen: list[int] = []  # noqa: RUF012

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if not self.training:
            CountingNet.seen.append(len(images))
        return super().forward(images)


@pytest.fixture
def counting(own_things: None) -> type[nn.Module]:
    register_model("counting", CountingNet)
    CountingNet.seen.clear()
    return CountingNet


def test_without_pictures_each_split_is_scored_once_an_epoch(
    counting: type[nn.Module], small_run: Path, tmp_path: Path
) -> None:
    config = small_config(small_run.parent / "data.npz", model="counting", epochs=2, score_test="each-epoch")
    run = train(config, run_dir=tmp_path / "run", log_style="silent", pictures=False)
    num_val, num_test = run.card.num_val, run.card.num_test
    expected = 2 * [num_val, num_test]
    assert [seen for seen in CountingNet.seen if seen > 1] == expected  # a trace is of one image
    assert CountingNet.seen.count(1) == 1
    assert not {path.name for path in run.path.iterdir()} & PICTURES


def test_with_pictures_too(counting: type[nn.Module], small_run: Path, tmp_path: Path) -> None:
    config = small_config(small_run.parent / "data.npz", model="counting")
    run = train(config, run_dir=tmp_path / "run", log_style="silent")
    assert CountingNet.seen.count(1) == 1
    assert CountingNet.seen.count(run.card.num_val) == 1
    assert {path.name for path in run.path.iterdir()} >= PICTURES


def test_data_can_be_handed_in(small_run: Path, tmp_path: Path) -> None:
    data = shutil.copy(small_run.parent / "data.npz", tmp_path / "data.npz")
    config = small_config(Path(data), epochs=2)
    dataset = load_dataset(config.data, val_fraction=config.val_fraction)
    Path(data).unlink()
    run = train(config, dataset=dataset, run_dir=tmp_path / "run", log_style="silent", pictures=False)
    assert (run.path / "model.safetensors").read_bytes() == (small_run / "model.safetensors").read_bytes()
    (run.path / "metrics.json").unlink()
    assert resume(run.path, dataset=dataset, log_style="silent", pictures=False).metrics["epochs"] == 2


def test_data_that_the_config_does_not_name_is_refused(small_run: Path, tmp_path: Path, tiny_dataset: Dataset) -> None:
    config = small_config(small_run.parent / "data.npz")
    with pytest.raises(ConfigError, match="dataset"):
        train(config, dataset=tiny_dataset, run_dir=tmp_path / "run", log_style="silent")
    other_split = load_dataset(config.data, val_fraction=0.4)
    with pytest.raises(ConfigError, match="val_fraction"):
        train(config, dataset=other_split, run_dir=tmp_path / "run", log_style="silent")
    assert not (tmp_path / "run").exists()


def test_the_command_leaves_pictures_out_and_report_draws_them_later(tmp_path: Path, small_run: Path) -> None:
    arguments = ["train", "--recipe", str(small_run / "config.toml"), "--run-dir", str(tmp_path / "run")]
    assert main([*arguments, "--no-pictures", "--log-style", "silent"]) == 0
    assert not (tmp_path / "run" / "report.html").exists()
    assert main(["report", str(tmp_path / "run")]) == 0
    assert (tmp_path / "run" / "report.html").exists()


def test_a_process_looks_up_its_commit_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """For all seeds that it trains."""
    calls = []

    def run(*arguments: object, **_: object) -> SimpleNamespace:
        calls.append(arguments)
        return SimpleNamespace(stdout="abc\n")

    record._commit.cache_clear()
    with monkeypatch.context() as patch:
        patch.setattr(subprocess, "run", run)
        assert record._commit() == record._commit() == "abc"
    record._commit.cache_clear()
    assert len(calls) == 1


def test_the_state_after_an_epoch_copies_what_the_next_one_changes() -> None:
    """And no history, which grows and does not change."""
    model = nn.Linear(2, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    record = EpochRecord(1, 0.1, 1.0, 0.5, None, None, None, None, 2.0, 25.0)
    history, weight = History((record,)), model.weight.detach().clone()
    state = state_after(1, model, optimizer, history, None, 1)
    with torch.no_grad():
        model.weight.zero_()
    assert state.history is history
    assert state.model["weight"].equal(weight)
