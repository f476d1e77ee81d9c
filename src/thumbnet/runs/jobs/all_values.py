"""Jobs of which every value is needed: one whose process dies is done once more, where `run_jobs` only tells of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from thumbnet.runs.jobs.job import Job, Outcome, check_all_done
from thumbnet.runs.jobs.run_jobs import run_jobs
from thumbnet.runs.resolve import Say
from thumbnet.specs.at_once import AtOnce


def all_values(
    jobs: Sequence[Job], at_once: AtOnce, *, threads: int | None = None, say: Say, hint: str
) -> list[object]:
    """Do jobs in other processes, as `run_jobs` does, for the values of all of them.

    A job whose process or worker dies is done once more, after the others. Such jobs are then done one at a time, since
    the first may have died for want of memory, and with the same number of threads. A job that fails by an error of its
    own would fail again: it stops the others.

    Args:
        threads: as in `run_jobs`.
        say: as in `run_jobs`; it is also told which job is finished, and which has died.
        hint: of the error, also where the cluster is lost.

    Returns:
        list[object]: of each job, in their order.

    Raises:
        JobsFailedError: a job failed, or its process died a second time. ThumbnetError: as `run_jobs`.
    """
    threads = at_once.threads_here(threads, num_runs=len(jobs))
    ended: dict[str, Outcome] = {}

    def tell(outcome: Outcome, *, is_last: bool) -> None:
        if outcome.has_died and not is_last:
            say(f"{outcome.name}: {outcome.error}: it is done once more, after the others")
            return
        ended[outcome.name] = outcome
        check_all_done(list(ended.values()), hint=hint)
        say(f"{outcome.name} is finished ({len(ended)} of {len(jobs)})")

    run_jobs(jobs, at_once, threads=threads, say=say, on_end=partial(tell, is_last=False), hint=hint)
    died = [job for job in jobs if job.name not in ended]
    if died:
        one = replace(at_once, jobs=1)
        run_jobs(died, one, threads=threads, say=say, on_end=partial(tell, is_last=True), hint=hint)
    return [ended[job.name].value for job in jobs]
