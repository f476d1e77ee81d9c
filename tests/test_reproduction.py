"""`thumbnet reproduce`: a run trained again gives the same bits, or what was otherwise is told."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from small_runs import small_config, write_small_data
from thumbnet.cli import build_parser, main
from thumbnet.errors import CheckpointError, RunError
from thumbnet.runs.reproduction import reproduce_run
from thumbnet.runs.run import RunDir, load_run
from thumbnet.runs.train import train
from thumbnet.specs import own_code
from thumbnet.training.state import TrainingState
from thumbnet.training.stopping import STOP, Stop


def stop(state: TrainingState) -> Stop | None:
    return STOP if state.epoch == 2 else None


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two threads that a function ended after the second of its three epochs."""
    folder = tmp_path_factory.mktemp("run")
    config = small_config(write_small_data(folder / "data.npz"), epochs=3, threads=2)
    train(config, run_dir=folder / "run", log_style="silent", pictures=False, on_epoch_end=stop)
    return folder / "run"


def test_a_run_trained_again_is_the_same_to_the_last_bit(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["reproduce", str(run), "--run-dir", str(tmp_path / "new")]) == 0
    said = capsys.readouterr().out
    assert "weights                                     the same" in said
    assert f"results: {tmp_path / 'new'}" in said
    assert (tmp_path / "new" / "model.safetensors").read_bytes() == (run / "model.safetensors").read_bytes()
    assert json.loads((tmp_path / "new" / "metrics.json").read_text())["num_threads"] == 2


def test_what_differs_is_told_with_what_was_otherwise(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = shutil.copytree(run, tmp_path / "other")
    folder = RunDir(other)
    config = folder.read_config()
    folder.write_config(config.replace(lr=0.01))
    metrics = folder.read_metrics()
    folder.write_metrics({**metrics, "machine": "an abacus", "num_ranks": 2})
    assert main(["reproduce", str(other), "--json"]) == 1
    said = capsys.readouterr()
    found = json.loads(said.out)
    assert (found["is_same"], found["path"], found["first_different_epoch"]) == (False, None, 1)
    assert found["largest_difference"] > 0
    assert "likely causes: machine was an abacus and is " in said.err
    assert "num_ranks (processes that trained together) was 2 and is 1" in said.err


def test_a_run_that_ended_early_with_its_best_weights_is_trained_again(tmp_path: Path) -> None:
    """When it ends, and which weights it keeps, follows from validation images alone, and is found again."""
    config = small_config(write_small_data(tmp_path / "data.npz"), epochs=40, patience=2, keep_weights="best")
    run = train(config, run_dir=tmp_path / "run", log_style="silent", pictures=False)
    assert run.metrics["stopped_by"] == "patience"
    assert 2 < len(run.history) < 40
    found = reproduce_run(run.path, out=tmp_path / "new", log_style="silent")
    assert found.is_same
    assert load_run(tmp_path / "new").metrics["stopped_by"] == "patience"


def test_a_run_with_code_of_ones_own_is_trained_again_if_that_is_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the run's copy of it: the file has changed since."""
    monkeypatch.setattr(own_code, "_executed", {})
    net = tmp_path / "net.py"
    net.write_text(NET)
    config = small_config(write_small_data(tmp_path / "data.npz"), model=f"{net}:Net", model_options={})
    run = train(config, run_dir=tmp_path / "run", log_style="silent", pictures=False)
    net.write_text(NET.replace("Linear", "Bilinear"))
    own_code._executed.clear()
    with pytest.raises(RunError, match="was trained with code of its own"):
        reproduce_run(run.path, log_style="silent")
    assert reproduce_run(run.path, log_style="silent", trust_code=True).is_same


NET = """
from torch import nn

class Net(nn.Sequential):
    def __init__(self, num_classes, in_channels):
        super().__init__(nn.Flatten(), nn.Linear(256 * in_channels, num_classes))
"""


def test_a_run_of_a_device_that_is_not_here_is_refused(run: Path, tmp_path: Path) -> None:
    """`reproduce` has no --device: another one gives other bits."""
    folder = RunDir(shutil.copytree(run, tmp_path / "elsewhere"))
    folder.write_config(folder.read_config().replace(device="cuda:7"))
    with pytest.raises(RunError, match=r"elsewhere cannot be trained again here: device 'cuda:7'") as caught:
        reproduce_run(folder.path, log_style="silent")
    assert caught.value.hint.startswith("reproduce it on a machine with such a device, or train its config.toml")


def test_other_data_and_what_is_no_run_are_refused(run: Path, tmp_path: Path) -> None:
    elsewhere = write_small_data(tmp_path / "data.npz", seed=1)
    with pytest.raises(CheckpointError, match="was started on other data"):
        reproduce_run(run, data=f"npz:{elsewhere}", log_style="silent")
    (tmp_path / "seeds.json").write_text("{}")
    with pytest.raises(RunError, match="holds several runs"):
        reproduce_run(tmp_path, log_style="silent")


def test_no_option_is_offered_that_is_never_taken(capsys: pytest.CaptureFixture[str]) -> None:
    """The data is the run's own by its checksum, so that there is nothing to allow."""
    with pytest.raises(SystemExit):
        build_parser().parse_args(["reproduce", "--help"])
    offered = capsys.readouterr().out
    assert "--data-dir DIR" in offered
    assert "--allow-unverified" not in offered
