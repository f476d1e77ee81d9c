"""Jobs on the workers of a Dask cluster, one at a time on each, so that a worker that dies takes no other job with it.

A worker needs thumbnet in the caller's version, and what a job reads besides the caller's folder, by the same path: its
data, and trained runs. Where it does not see the folder, it gets the files in it, and gives back those that it wrote.
"""

from __future__ import annotations

import queue
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType

from distributed import Client, Future

import thumbnet
from thumbnet.errors import JobsFailedError, RunError
from thumbnet.runs.jobs.carried import carried_from_here
from thumbnet.runs.jobs.execute import Task, outcome_of, pickled
from thumbnet.runs.jobs.job import Job, Outcome, Workers
from thumbnet.runs.jobs.on_worker import digests_there, do_on_worker, version_there
from thumbnet.runs.jobs.sent_files import Sent, make_token, sent_of, write_back
from thumbnet.runs.resolve import Say

CONNECT_S = 15.0
LOOK_AGAIN_S = 1.0
SAME_THUMBNET = "install the same thumbnet where workers run"
SAME_RUN = "put that run on a drive that all workers share, or copy it to each machine, by the same path; or train here"
WITHOUT_WORKERS_S = 60.0  # then the jobs that are left are given up


class ClusterWorkers(Workers):
    """The workers of the cluster, at most `most` of them at once, also those that join it later; `hint` says how to go
    on where the cluster is lost.

    Raises:
        RunError: there is no scheduler at this address; or a worker has no thumbnet, or another version of it, or not
            the weights of all `runs`.
    """

    def __init__(
        self, scheduler: str, most: int, *, runs: Sequence[str] = (), threads: int | None, say: Say, hint: str
    ) -> None:
        self._address, self._most, self._threads, self._say, self._hint = scheduler, most, threads, say, hint
        self._runs, self._digests = tuple(runs), digests_there(runs)
        self._command, self._carried = uuid.uuid4().hex, carried_from_here()
        self._busy: dict[str, tuple[Job, str, Future[tuple[bytes, Mapping[str, bytes]]]]] = {}  # by the job's name
        self._ended: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._fits: dict[str, bool] = {}  # whether a worker can do jobs, by its address
        self._tokens: dict[Path, Path] = {}
        self._seen_s = time.monotonic()
        try:
            self._client = Client(scheduler, timeout=CONNECT_S, set_as_default=False)
        except (OSError, TimeoutError) as error:
            raise RunError(
                f"no Dask scheduler answers at {scheduler}: {str(error).strip() or type(error).__name__}",
                hint="start one with `dask scheduler`, and workers with `dask worker tcp://HOST:PORT`",
            ) from error
        try:
            self._client.subscribe_topic(self._command, lambda event: say(str(event[1])))
            for worker, (reason, remedy) in self._look_at_new(self._threads_of_workers()).items():
                raise RunError(f"the worker {worker} {reason}", hint=remedy)
        except BaseException:
            self._client.close()
            raise

    @property
    def is_busy(self) -> bool:
        return bool(self._busy)

    def begin(self, job: Job) -> bool:
        if len(self._busy) >= self._most:
            return False
        threads, taken = self._threads_of_workers(), {worker for _, worker, _ in self._busy.values()}
        for worker, (reason, _) in self._look_at_new(threads).items():
            self._say(f"The worker {worker} {reason}: it gets no runs.")
        free = [worker for worker in threads if worker not in taken and self._fits.get(worker, False)]
        if not free:
            return False
        worker = free[0]
        task = pickled(Task(job, self._carried, self._command))
        future = self._client.submit(
            do_on_worker,
            *(job.name, task, self._threads or threads[worker], self._sent(job), self._command),
            workers=[worker],
            allow_other_workers=False,
            pure=False,
        )
        self._busy[job.name] = job, worker, future
        future.add_done_callback(lambda done, name=job.name: self._ended.put(name))
        return True

    def ended(self) -> Iterator[Outcome]:
        with suppress(queue.Empty):
            name = self._ended.get(timeout=LOOK_AGAIN_S)
            if name in self._busy:  # else its worker was seen to be gone before
                yield self._outcome(name)
            return
        threads = self._threads_of_workers()
        for name in [name for name, (_, worker, _) in self._busy.items() if worker not in threads]:
            _, worker, future = self._busy.pop(name)
            future.cancel(force=True)
            yield Outcome(name, error=f"its worker {worker} died, or left the cluster", has_died=True)
        if threads:
            self._seen_s = time.monotonic()
        elif time.monotonic() - self._seen_s > WITHOUT_WORKERS_S:
            raise JobsFailedError(
                f"the cluster at {self._address} has no workers, for {WITHOUT_WORKERS_S:.0f} s now",
                hint=f"start some with `dask worker {self._address}`, then {self._hint}",
            )

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for token in self._tokens.values():
            token.unlink(missing_ok=True)
        with suppress(OSError, TimeoutError):  # a scheduler that is gone
            for _, _, future in self._busy.values():
                future.cancel(force=True)
            self._client.close()

    def _outcome(self, name: str) -> Outcome:
        job, worker, future = self._busy.pop(name)
        try:
            content, files = future.result()
        except Exception as error:  # noqa: BLE001  # whatever Dask could not do
            reason = f"the worker {worker} could not do it: {type(error).__name__}: {error}"
            return Outcome(name, error=reason, has_died=True)
        if job.folder is not None:
            write_back(job.folder, name, files)
        return outcome_of(name, content)

    def _sent(self, job: Job) -> Sent | None:
        if job.folder is None:
            return None
        if job.folder not in self._tokens:
            self._tokens[job.folder] = make_token(job.folder)
        return sent_of(job.folder, job.name, self._tokens[job.folder])

    def _threads_of_workers(self) -> dict[str, int]:
        with self._asking():
            threads: dict[str, int] = self._client.nthreads()
            return threads

    def _look_at_new(self, workers: Mapping[str, int]) -> dict[str, tuple[str, str]]:
        """What is wrong with workers that were not known before, and what to do, by their addresses."""
        new, wrong = [worker for worker in workers if worker not in self._fits], dict[str, tuple[str, str]]()
        if not new:
            return {}
        with self._asking():
            versions = self._client.run(version_there, workers=new, on_error="return")
        for worker, version in versions.items():
            if isinstance(version, OSError):
                continue  # it left meanwhile
            self._fits[worker] = version == thumbnet.__version__
            if isinstance(version, BaseException):
                wrong[worker] = f"cannot load thumbnet: {version}", SAME_THUMBNET
            elif not self._fits[worker]:
                wrong[worker] = f"has thumbnet {version}, and this is {thumbnet.__version__}", SAME_THUMBNET
        return {**wrong, **self._look_for_runs([worker for worker in new if self._fits.get(worker, False)])}

    def _look_for_runs(self, workers: list[str]) -> dict[str, tuple[str, str]]:
        """The same, of the runs that jobs read."""
        wrong: dict[str, tuple[str, str]] = {}
        if not self._runs or not workers:
            return wrong
        with self._asking():
            found = self._client.run(digests_there, self._runs, workers=workers, on_error="return")
        for worker, digests in found.items():
            if isinstance(digests, BaseException):  # it left meanwhile
                del self._fits[worker]
                continue
            for run in self._runs:
                if run not in digests:
                    wrong[worker] = f"has no run {run}, which the trainings begin with or learn from", SAME_RUN
                elif digests[run] != self._digests.get(run, digests[run]):
                    wrong[worker] = f"has other weights in {run} than this machine", SAME_RUN
            self._fits[worker] = worker not in wrong
        return wrong

    @contextmanager
    def _asking(self) -> Iterator[None]:
        """RunError where the scheduler is gone."""
        try:
            yield
        except (OSError, TimeoutError) as error:
            raise RunError(
                f"the Dask scheduler at {self._address} does not answer any more: {error}",
                hint=f"start the cluster anew, then {self._hint}",
            ) from error
