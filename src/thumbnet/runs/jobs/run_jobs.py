"""Jobs, several at once, each with its name: the others go on where one fails or its process is killed."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from thumbnet.runs.jobs.job import Job, Outcome, Workers
from thumbnet.runs.resolve import Say
from thumbnet.specs.at_once import AtOnce


def run_jobs(
    jobs: Sequence[Job],
    at_once: AtOnce,
    *,
    threads: int | None = None,
    say: Say,
    on_end: Callable[[Outcome], Job | None] = lambda outcome: None,
    hint: str = "begin them again",
) -> list[Outcome]:
    """Do jobs in other processes, as many at once as `at_once` says.

        outcomes = run_jobs([Job("a", partial(work, 1)), Job("b", partial(work, 2))], AtOnce(jobs=2), say=tell)

    Args:
        threads: that each computes with; None: its share of this machine's processors, or those that a worker of the
            cluster has.
        say: is told what a job writes to stderr, line by line after its name, where its process cannot reach it.
        on_end: is given each outcome as a job ends; what it raises stops the others. It may return a job to be done in
            the place of that one, by its name: the outcome is then that of the second one.
        hint: how to go on where the cluster is lost, as the end of a sentence.

    Returns:
        list[Outcome]: of each job, in their order.

    Raises:
        ThumbnetError: the cluster cannot be reached, or is left without workers, or has another version of thumbnet, or
            not the runs that the jobs read.
        KeyboardInterrupt: the jobs were stopped, too.
    """
    outcomes: dict[str, Outcome] = {}
    waiting = deque(jobs)
    with _workers(jobs, at_once, threads, say, hint) as workers:
        while waiting or workers.is_busy:
            while waiting and workers.begin(waiting[0]):
                waiting.popleft()
            for outcome in workers.ended():
                outcomes[outcome.name] = outcome
                again = on_end(outcome)
                if again is not None:
                    waiting.append(again)
    return [outcomes[job.name] for job in jobs]


def _workers(jobs: Sequence[Job], at_once: AtOnce, threads: int | None, say: Say, hint: str) -> Workers:
    most = min(len(jobs), at_once.jobs or len(jobs))
    if at_once.scheduler is not None:
        from thumbnet.runs.jobs.cluster import ClusterWorkers  # not before: it needs an extra

        runs = dict.fromkeys(run for job in jobs for run in job.runs)
        return ClusterWorkers(at_once.scheduler, most, runs=tuple(runs), threads=threads, say=say, hint=hint)
    from thumbnet.runs.jobs.local import LocalWorkers  # not before: joblib takes a while

    return LocalWorkers(most, threads=at_once.threads_here(threads, num_runs=most) or 1)
