"""The command under torchrun: a process that dies, one that is refused, and going on afterwards; tens of seconds."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from test_own_code import NET
from test_ranks import free_port
from thumbnet.cli import main
from thumbnet.runs.run import RunDir, load_run

HERE = Path(__file__).parent
TRAIN = ["train", "--data", "digits", "--epochs", "3", "--no-pictures", "--set", "model_options.blocks=c8s"]
LIMIT_S = 60.0

pytestmark = pytest.mark.ranks


COMMAND = [sys.executable, "-m", "torch.distributed.run"]


def torchrun(*arguments: str, folder: Path, number: int = 2, limit_s: float = LIMIT_S) -> tuple[int, str]:
    """The exit status and what all processes wrote, within `limit_s` seconds, of each of two beginnings."""
    command = [*COMMAND, "--nproc-per-node", str(number), *arguments]
    begin_s = time.monotonic()
    done = subprocess.run(
        command, cwd=folder, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=300
    )
    assert time.monotonic() - begin_s < limit_s * (1 + ("--max-restarts" in arguments))
    return done.returncode, done.stdout + done.stderr


def test_what_is_refused_is_said_once_and_first(tmp_path: Path) -> None:
    status, said = torchrun("-m", "thumbnet", *TRAIN, "--batch-size", "2", folder=tmp_path, number=3)
    assert status != 0
    assert said.count("batch_size is 2, but 3 processes share each batch") == 1
    assert said.index("thumbnet: error:") < said.index("ChildFailedError")
    assert not (tmp_path / "runs").exists()


def test_a_killed_process_ends_all_and_one_process_goes_on(tmp_path: Path) -> None:
    status, said = torchrun(str(HERE / "rank_killed.py"), *TRAIN, "--run-dir", "run", folder=tmp_path)
    assert status != 0
    assert "Signal 9 (SIGKILL)" in said
    assert "onnection" not in said  # the other one's, which was left alone
    resume = ["train", "--resume", str(tmp_path / "run")]
    assert main(resume) == 0
    run = load_run(tmp_path / "run")
    assert len(run.history) == 3
    changes = run.metrics["resumed_with_changes"]
    assert isinstance(changes, list)
    assert "from epoch 2 on: num_ranks was 2 and is 1" in changes


@pytest.mark.parametrize("where", ["network", "epoch"])
def test_a_process_that_fails_says_why_once_and_first(where: str, tmp_path: Path) -> None:
    status, said = torchrun(str(HERE / "rank_fails.py"), where, *TRAIN, folder=tmp_path)
    assert status != 0
    assert said.count("thumbnet: error:") == said.count("nosuch0") == 1, said
    assert said.index("nosuch0") < said.index("ChildFailedError")


def test_torchrun_begins_again_after_the_last_epoch_of_a_network_of_the_users(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(NET)
    own = ["--set", "model=net.py:Net", "--set", "augmentation=net.py:noise", "--set", "flip=false"]
    train = ["train", "--data", "digits", "--epochs", "3", "--no-pictures", *own]
    status, said = torchrun("--max-restarts", "1", str(HERE / "rank_killed.py"), *train, folder=tmp_path)
    assert status == 0, said
    assert "after epoch 1 of 3" in said
    (folder,) = (tmp_path / "runs").iterdir()
    run = load_run(folder, trust_code=True)
    assert len(run.history) == 3
    assert run.metrics["num_ranks"] == 2


def test_the_first_process_plans_minutes_and_keeps_them_for_all(tmp_path: Path) -> None:
    given = ["--set", "model_options.blocks=c8s", "--set", "kernels=pytorch", "--no-pictures"]
    train = ["train", "--data", "digits", "--minutes", "0.4", *given, "--run-dir", "run"]
    status, said = torchrun(str(HERE / "rank_slow.py"), *train, folder=tmp_path)
    assert status == 0, said
    assert said.count("0.4 minutes: sprint") == 1  # or sprint-long, by the speed of this machine
    run = load_run(tmp_path / "run")
    assert list(tmp_path.rglob("plan.json")) == [run.path / "plan.json"]
    plan = RunDir(run.path).read_plan()
    assert plan is not None
    assert re.search(r"^pace_starts = \[", (run.path / "config.toml").read_text(), re.MULTILINE)
    pace = run.config.pace
    assert pace is not None
    assert (pace.steps, run.metrics["steps"]) == (plan.steps, pace.num_steps)
    assert pace.num_steps < plan.steps  # the second process was slower than the plan could know
    assert (run.metrics["minutes"], run.metrics["num_ranks"]) == (0.4, 2)
    first, second = (torch.load(tmp_path / f"weights-{rank}.pt", weights_only=True) for rank in (0, 1))
    assert all(torch.equal(weights, second[name]) for name, weights in first.items())
    assert all(torch.equal(weights, first[name]) for name, weights in run.model.state_dict().items())


def on_two_machines(
    *arguments: str, folder: Path, limit_s: float, meetings: tuple[str, str] | None = None
) -> tuple[list[int], str]:
    """The exit statuses of two launchers on loopback, which meet by these options, and what all processes wrote."""
    if meetings is None:
        meeting = f"--nnodes=2 --rdzv-backend=c10d --rdzv-id=machines --rdzv-endpoint=127.0.0.1:{free_port()}"
        meetings = meeting, meeting
    environment = os.environ | {"OMP_NUM_THREADS": "1", "KILLED": "1:2,0:3"}
    said = folder / "said.txt"
    with said.open("w") as output:
        commands = [[*COMMAND, *meeting.split(), *arguments] for meeting in meetings]
        machines = [
            subprocess.Popen(command, cwd=folder, env=environment, stdout=output, stderr=output) for command in commands
        ]
        try:
            statuses = [machine.wait(limit_s) for machine in machines]
        finally:
            for machine in machines:
                machine.terminate()  # which ends its processes, too
                machine.wait()
    return statuses, said.read_text()


def test_a_machine_without_network_ends_the_other_one_within_a_minute(tmp_path: Path) -> None:
    statuses, said = on_two_machines(str(HERE / "rank_fails.py"), "network", *TRAIN, folder=tmp_path, limit_s=LIMIT_S)
    assert 0 not in statuses
    assert said.count("nosuch0") == 1, said


def test_two_machines_begin_again_whichever_failed(tmp_path: Path) -> None:
    """Of the launchers only the one whose process died counts a restart."""
    killed = ["--max-restarts", "2", str(HERE / "rank_killed.py"), *TRAIN]
    statuses, said = on_two_machines(*killed, folder=tmp_path, limit_s=2 * LIMIT_S)
    assert statuses == [0, 0], said
    assert {path.name for path in tmp_path.glob("killed-*")} == {"killed-0", "killed-1"}
    assert "after epoch 1 of 3" in said
    assert "after epoch 2 of 3" in said
    (folder,) = (tmp_path / "runs").iterdir()
    assert len(load_run(folder).history) == 3
