"""The guide's commands for several processes, which nothing disturbs, and runs that go on by more of them."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest
import torch

from small_runs import small_config, write_small_data
from test_docs import PAGES, blocks
from test_rank_restart import interrupts
from test_ranks import free_port
from test_torchrun import TRAIN, on_two_machines, torchrun
from thumbnet.runs.run import Run, load_run
from thumbnet.runs.train import train

(GUIDE,) = [page for page in PAGES if page.name == "several-processes.md"]
UNDISTURBED_S = 240.0  # for what ends by itself, on a machine that may be busy
SMALL = ["--set", "model_options.blocks=c8s", "--no-pictures"]

pytestmark = pytest.mark.ranks


def only_run(folder: Path) -> Run:
    (path,) = (folder / "runs").iterdir()
    return load_run(path)


def test_the_guides_first_command_trains(tmp_path: Path) -> None:
    first, *_ = "".join(blocks(GUIDE, "sh")).splitlines()
    launcher, *words = shlex.split(first, comments=True)
    assert launcher == "torchrun"
    status, said = torchrun(*words, *SMALL, folder=tmp_path, limit_s=UNDISTURBED_S)
    assert status == 0, said
    assert said.count("2 processes of 1 thread train together") == said.count("results: ") == 1, said
    run = only_run(tmp_path)
    assert run.metrics["num_ranks"] == 2
    assert [record.epoch for record in run.history] == [1, 2, 3]
    assert run.history[-1].train_loss < run.history[0].train_loss


def test_the_guides_options_for_a_certain_first_machine_train(tmp_path: Path) -> None:
    told = re.search(r"`(--node-rank 0 --master-addr first\.example --master-port 29400)`", GUIDE.read_text())
    assert told is not None
    first = told[1].replace("first.example", "127.0.0.1").replace("29400", str(free_port()))
    both = [f"--nnodes 2 --nproc-per-node 1 {each}" for each in (first, first.replace("rank 0", "rank 1"))]
    command = ["-m", "thumbnet", *TRAIN, "--set", "refit=true"]
    meetings = both[0], both[1]
    statuses, said = on_two_machines(*command, folder=tmp_path, limit_s=UNDISTURBED_S, meetings=meetings)
    assert statuses == [0, 0], said
    assert said.count("results: ") == 1, said
    run = only_run(tmp_path)
    assert run.metrics["num_ranks"] == 2
    assert run.metrics["num_refit"]  # by both, too
    assert len(run.history) == 3


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of one process: `whole`, and `stopped` after the first of its two epochs."""
    folder = tmp_path_factory.mktemp("begun")
    config = small_config(write_small_data(folder / "data.npz"), epochs=2)
    train(config, run_dir=folder / "whole", log_style="silent", pictures=False)
    with pytest.raises(KeyboardInterrupt):
        train(config, run_dir=folder / "stopped", log_style="silent", pictures=False, on_epoch_end=interrupts)
    return folder


@pytest.mark.parametrize("number", [2, 3])
def test_a_run_of_one_process_goes_on_with_more_to_the_same_end(number: int, begun: Path, tmp_path: Path) -> None:
    """Batches of 16 images are cut into parts of 8, or of 5 and 6."""
    path, whole = shutil.copytree(begun / "stopped", tmp_path / "run"), load_run(begun / "whole")
    resume = ["-m", "thumbnet", "train", "--resume", "run", "--no-pictures"]
    status, said = torchrun(*resume, folder=tmp_path, number=number, limit_s=UNDISTURBED_S)
    assert status == 0, said
    resumed = load_run(path)
    assert resumed.metrics["num_ranks"] == number
    assert resumed.metrics["resumed_with_changes"] == [f"from epoch 2 on: num_ranks was 1 and is {number}"]
    for own, others in zip(whole.history, resumed.history, strict=True):
        assert others.train_loss == pytest.approx(own.train_loss, rel=1e-4)
    torch.testing.assert_close(resumed.model.state_dict(), whole.model.state_dict(), rtol=1e-3, atol=1e-4)
