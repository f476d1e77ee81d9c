"""What a worker of a Dask cluster does: one job at a time, in a thread of its process."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

from distributed.worker import get_worker

import thumbnet
from thumbnet.errors import RunError
from thumbnet.runs.files.names import WEIGHTS
from thumbnet.runs.jobs.execute import execute_pickled
from thumbnet.runs.jobs.job import Setting
from thumbnet.runs.jobs.sent_files import Sent, files_to_send_back, folder_of
from thumbnet.training.state import TrainingState


def version_there() -> str:
    """The version of thumbnet in a worker's process."""
    return thumbnet.__version__


def digests_there(runs: Sequence[str]) -> dict[str, str]:
    """Of the runs whose weights are at these paths, as a worker sees them, the digests of these."""
    found = {}
    for run in runs:
        with suppress(OSError):
            found[run] = hashlib.sha256((Path(run) / WEIGHTS).read_bytes()).hexdigest()
    return found


def do_on_worker(
    name: str, task: bytes, threads: int, sent: Sent | None, topic: str
) -> tuple[bytes, Mapping[str, bytes]]:
    """Do a pickled task; its outcome, pickled, and the files to be written into the caller's folder, which are none
    where the worker writes into it itself.

    Args:
        threads: to compute with.
        sent: of the job's folder, if it has one.
        topic: of the cluster's events, by which the caller gets what the job writes to stderr.
    """
    worker = get_worker()
    key = worker.get_current_task()

    def stop_if_called_off(state: TrainingState) -> None:
        task_there = worker.state.tasks.get(key)
        if task_there is None or task_there.state == "cancelled":
            raise RunError("the command that began this has ended", hint="what it ended with says how to go on")

    with ExitStack() as stack:
        folder, is_callers = (Path(), True) if sent is None else stack.enter_context(folder_of(sent))
        setting = Setting(threads, folder, stop_if_called_off)
        outcome = execute_pickled(name, task, setting, lambda line: worker.log_event(topic, line.rstrip("\n")))
        return outcome, {} if sent is None or is_callers else files_to_send_back(folder, name, sent)
