"""Runs on the workers of a Dask cluster of this machine: the same bits, also where a worker cannot see the folder."""

from __future__ import annotations

import os
import queue
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from small_runs import small_config, write_small_data
from thumbnet.errors import ConfigError, JobsFailedError, RunError
from thumbnet.runs.jobs import cluster, sent_files
from thumbnet.runs.jobs.job import Job, Setting
from thumbnet.runs.jobs.run_jobs import run_jobs
from thumbnet.runs.seeds.train import resume_seeds, train_seeds
from thumbnet.specs.at_once import AtOnce

pytestmark = pytest.mark.services
QUIET: dict[str, Any] = {"log_style": "silent", "pictures": False}


def process_of(setting: Setting) -> tuple[int, int]:
    sys.stderr.write("hello\n")
    return os.getpid(), setting.threads


def dies(setting: Setting) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.fixture(scope="module")
def scheduler(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A scheduler and two workers of one thread each, as processes; where one is killed, its nanny begins another."""
    folder = tmp_path_factory.mktemp("cluster")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address, log = f"tcp://127.0.0.1:{port}", folder / "log"
    path = os.pathsep.join([str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PYTHONPATH": path, "PYTHONWARNINGS": "ignore"}
    dask = [sys.executable, "-m", "dask"]
    commands = [
        [*dask, "scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-dashboard"],
        [*dask, "worker", address, "--nworkers", "2", "--nthreads", "1", "--no-dashboard"],
    ]
    with ExitStack() as stack, log.open("wb") as out:
        for command in commands:
            process = stack.enter_context(
                subprocess.Popen(command, cwd=folder, env=environment, stdout=out, stderr=subprocess.STDOUT)
            )
            stack.callback(process.terminate)
        end_s = time.monotonic() + 120
        while log.read_text().count("Registered to:") < 2:
            assert time.monotonic() < end_s, log.read_text()
            time.sleep(0.2)
        yield address


def test_runs_on_a_cluster_have_the_bits_of_those_trained_here_with_and_without_the_folder(
    scheduler: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = small_config(write_small_data(tmp_path / "data.npz"), epochs=2, threads=1)
    here = train_seeds(config, num_seeds=2, run_dir=tmp_path / "here", **QUIET)
    there = train_seeds(config, num_seeds=2, run_dir=tmp_path / "there", scheduler=scheduler, **QUIET)
    assert not list((tmp_path / "there").glob(".SHA256SUMS.*"))
    seen = cluster.sent_of

    def unseen(folder: Path, name: str, token: Path) -> sent_files.Sent:
        sent = seen(folder, name, token)
        return sent_files.Sent(Path("/nowhere"), sent.token, sent.secret, sent.files)

    monkeypatch.setattr(cluster, "sent_of", unseen)
    sent_back = train_seeds(config, num_seeds=2, run_dir=tmp_path / "back", scheduler=scheduler, **QUIET)
    for runs in (there, sent_back):
        for run, other in zip(runs.runs, here.runs, strict=True):
            for name in ("model.safetensors", "config.toml", "predictions.csv"):
                assert (run.path / name).read_bytes() == (other.path / name).read_bytes()
    assert sorted(path.name for path in (tmp_path / "back" / "seed-0").iterdir()) == sorted(
        path.name for path in (tmp_path / "here" / "seed-0").iterdir()
    )


def test_a_worker_that_dies_is_told_and_takes_no_other_job_with_it(scheduler: str) -> None:
    said: list[str] = []
    jobs = [Job("first", process_of), Job("deadly", dies), Job("second", process_of), Job("third", process_of)]
    first, deadly, second, third = run_jobs(jobs, AtOnce(scheduler=scheduler), say=said.append)
    assert "died, or left the cluster" in str(deadly.error)
    assert deadly.has_died
    for outcome in (first, second, third):
        assert outcome.error is None
        assert isinstance(outcome.value, tuple)
        assert outcome.value[0] != os.getpid()
        assert outcome.value[1] == 1
    assert "third: hello" in said


def test_another_version_is_refused(scheduler: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("thumbnet.__version__", "99.0")
    with pytest.raises(RunError, match=r"has thumbnet .*, and this is 99\.0"):
        run_jobs([Job("first", process_of)], AtOnce(scheduler=scheduler), say=print)


def test_a_seed_that_failed_there_can_be_trained_here(scheduler: str, tmp_path: Path) -> None:
    config = small_config(write_small_data(tmp_path / "data.npz"), threads=1)
    folder = tmp_path / "seeds"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cluster, "do_on_worker", _fails_for_seed_1)
        with pytest.raises(JobsFailedError, match="1 of 2 jobs failed:\n  seed-1: "):
            train_seeds(config, num_seeds=2, run_dir=folder, scheduler=scheduler, **QUIET)
    done = resume_seeds(folder, **QUIET)
    assert [run.config.seed for run in done.runs] == [0, 1]


def _fails_for_seed_1(name: str, *arguments: Any) -> Any:
    from thumbnet.runs.jobs.on_worker import do_on_worker

    if name == "seed-1":
        raise OSError("the disk is full")
    return do_on_worker(name, *arguments)


def test_a_cluster_that_is_lost_says_how_the_command_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "LOOK_AGAIN_S", 0.01)
    monkeypatch.setattr(cluster, "WITHOUT_WORKERS_S", -1.0)
    workers = object.__new__(cluster.ClusterWorkers)
    vars(workers).update(_address="tcp://10.0.0.1:8786", _hint="check again", _busy={}, _seen_s=time.monotonic())
    vars(workers)["_ended"] = queue.SimpleQueue()
    monkeypatch.setattr(workers, "_threads_of_workers", dict)
    with pytest.raises(JobsFailedError, match="has no workers") as caught:
        list(workers.ended())
    assert caught.value.hint == "start some with `dask worker tcp://10.0.0.1:8786`, then check again"
    with pytest.raises(RunError, match="does not answer any more") as gone, workers._asking():
        raise TimeoutError("too late")
    assert gone.value.hint == "start the cluster anew, then check again"


def test_without_a_scheduler_or_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "CONNECT_S", 1.0)
    with pytest.raises(RunError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:1"):
        run_jobs([Job("first", process_of)], AtOnce(scheduler="tcp://127.0.0.1:1"), say=print)
    with pytest.raises(ConfigError, match="scheduler is 'here'"):
        AtOnce(scheduler="here")
