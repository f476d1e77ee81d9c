"""Runs on the workers of a Dask cluster of this machine: the same bits, also where a worker cannot see the folder."""

from __future__ import annotations

import os
import queue
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from small_runs import small_config, write_small_data
from thumbnet.data_check.check import check_data
from thumbnet.errors import ConfigError, JobsFailedError, RunError
from thumbnet.runs import several
from thumbnet.runs.folds.train import train_folds
from thumbnet.runs.jobs import cluster, sent_files
from thumbnet.runs.jobs.job import Job, Setting
from thumbnet.runs.jobs.run_jobs import run_jobs
from thumbnet.runs.run import RunDir
from thumbnet.runs.seeds.train import resume_seeds, train_seeds
from thumbnet.runs.train import train
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
    monkeypatch.setattr(cluster, "sent_of", _unseen(cluster.sent_of))
    sent_back = train_seeds(config, num_seeds=2, run_dir=tmp_path / "back", scheduler=scheduler, **QUIET)
    for runs in (there, sent_back):
        for run, other in zip(runs.runs, here.runs, strict=True):
            for name in ("model.safetensors", "config.toml", "predictions.csv"):
                assert (run.path / name).read_bytes() == (other.path / name).read_bytes()
    assert sorted(path.name for path in (tmp_path / "back" / "seed-0").iterdir()) == sorted(
        path.name for path in (tmp_path / "here" / "seed-0").iterdir()
    )


def _unseen(seen: Callable[[Path, str, Path], sent_files.Sent]) -> Callable[[Path, str, Path], sent_files.Sent]:
    """What a worker that does not see the caller's folder is sent."""

    def unseen(folder: Path, name: str, token: Path) -> sent_files.Sent:
        sent = seen(folder, name, token)
        return sent_files.Sent(Path("/nowhere"), sent.token, sent.secret, sent.files)

    return unseen


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


def test_a_run_to_begin_with_must_be_where_the_workers_are(scheduler: str, tmp_path: Path) -> None:
    """Its path is the caller's: a worker that has no run there, or another one, is refused before it trains."""
    config = small_config(write_small_data(tmp_path / "data.npz"), threads=1)
    first = train(config, run_dir=tmp_path / "first", **QUIET).path
    config = config.replace(init=str(first))
    begun = train_seeds(config, num_seeds=2, run_dir=tmp_path / "begun", scheduler=scheduler, **QUIET)
    assert [run.config.init for run in begun.runs] == [str(first)] * 2
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cluster, "digests_there", _other_weights_in_each_process)
        with pytest.raises(RunError, match=rf"the worker tcp://.* has other weights in {first} than this machine"):
            train_seeds(config, num_seeds=2, run_dir=tmp_path / "others", scheduler=scheduler, **QUIET)
    gone = tmp_path / "gone"
    with pytest.raises(RunError, match=rf"the worker tcp://.* has no run {gone}, which the trainings") as caught:
        run_jobs([Job("first", process_of, runs=(str(gone),))], AtOnce(scheduler=scheduler), say=print)
    assert caught.value.hint.startswith("put that run on a drive that all workers share, or copy it")


def _other_weights_in_each_process(runs: Sequence[str]) -> dict[str, str]:
    return dict.fromkeys(runs, str(os.getpid()))


def test_what_a_training_reads_is_known() -> None:
    taught = small_config(Path("data.npz"), init="/runs/first", teacher="/runs/second", augmentation="crop-flip")
    assert several._runs_read(taught, is_begun=False) == ("/runs/second", "/runs/first")
    assert several._runs_read(taught, is_begun=True) == ("/runs/second",)
    for init in (None, "auto", "sprint"):
        assert several._runs_read(taught.replace(init=init, teacher=None), is_begun=False) == ()


@pytest.mark.parametrize("where", ["here", "there"])
def test_a_seed_that_failed_there_is_trained_by_a_resume(where: str, scheduler: str, tmp_path: Path) -> None:
    config = small_config(write_small_data(tmp_path / "data.npz"), threads=1)
    folder = tmp_path / "seeds"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cluster, "do_on_worker", _fails_for_seed_1)
        with pytest.raises(JobsFailedError, match="1 of 2 jobs failed:\n  seed-1: "):
            train_seeds(config, num_seeds=2, run_dir=folder, scheduler=scheduler, **QUIET)
    assert (folder / "seed-0" / "metrics.json").exists()
    done = resume_seeds(folder, scheduler=scheduler if where == "there" else None, **QUIET)
    assert [run.config.seed for run in done.runs] == [0, 1]
    assert (folder / "metrics.json").exists()


def test_a_run_that_was_stopped_goes_on_there(scheduler: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From its checkpoint, which is sent to a worker that does not see the folder, to the bits of one not stopped."""
    config = small_config(write_small_data(tmp_path / "data.npz"), epochs=3, threads=1)
    whole = train_seeds(config, num_seeds=1, run_dir=tmp_path / "whole", **QUIET)
    folder = tmp_path / "seeds"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RunDir, "write_checkpoint", _stopped_after_the_second(RunDir.write_checkpoint))
        with pytest.raises(KeyboardInterrupt):
            train_seeds(config, num_seeds=1, run_dir=folder, **QUIET)
    monkeypatch.setattr(cluster, "sent_of", _unseen(cluster.sent_of))
    (done,) = resume_seeds(folder, scheduler=scheduler, **QUIET).runs
    for name in ("model.safetensors", "predictions.csv"):
        assert (done.path / name).read_bytes() == (whole.runs[0].path / name).read_bytes()
    assert len(done.history) == 3


def _stopped_after_the_second(write: Callable[..., None]) -> Callable[..., None]:
    def write_and_stop(folder: RunDir, checkpoint: Any) -> None:
        write(folder, checkpoint)
        if checkpoint.state.epoch == 2:
            raise KeyboardInterrupt

    return write_and_stop


def test_folds_and_a_check_of_data_on_a_cluster_are_those_made_here(scheduler: str, tmp_path: Path) -> None:
    config = small_config(write_small_data(tmp_path / "data.npz"), threads=1)
    here, there = (
        train_folds(config, num_folds=2, run_dir=tmp_path / name, scheduler=address, **QUIET)
        for name, address in (("here", None), ("there", scheduler))
    )
    for run, other in zip(here.runs, there.runs, strict=True):
        for name in ("model.safetensors", "predictions.csv"):
            assert (run.path / name).read_bytes() == (other.path / name).read_bytes()
    assert (here.path / "predictions.csv").read_bytes() == (there.path / "predictions.csv").read_bytes()
    checks = [
        check_data(config, num_folds=2, num_repeats=1, out=tmp_path / name, log_style="silent", scheduler=address)
        for name, address in (("checked here", None), ("checked there", scheduler))
    ]
    for name in ("scores.csv", "suspects.csv", "check.json"):
        assert (checks[0].path / name).read_text() == (checks[1].path / name).read_text()


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
