"""How many trainings go on at once, and where. Imports no torch."""

from __future__ import annotations

import re
from dataclasses import dataclass

from thumbnet.errors import ConfigError
from thumbnet.specs.checks import require
from thumbnet.specs.extras import require_extra
from thumbnet.specs.processors import num_processors

MAX_JOBS = 1024
ADDRESS = re.compile(r"(tcp|tls|ws|wss|ucx)://[^\s/]+:\d{1,5}")


@dataclass(frozen=True)
class AtOnce:
    """Trainings at once: `jobs` of them in processes of this machine, or on the workers of a Dask cluster.

    Args:
        jobs: how many, 1 to 1024; None: one, or with a scheduler as many as the cluster has workers.
        scheduler: the address of a cluster's scheduler, as `tcp://HOST:PORT`; None: this machine.
    """

    jobs: int | None = None
    scheduler: str | None = None

    def __post_init__(self) -> None:
        require(self.jobs is None or 1 <= self.jobs <= MAX_JOBS, "jobs", self.jobs, f"1 to {MAX_JOBS}")
        if self.scheduler is not None:
            if not ADDRESS.fullmatch(self.scheduler):
                raise ConfigError(
                    f"scheduler is {self.scheduler!r}",
                    hint="give the address that `dask scheduler` prints: tcp://HOST:PORT",
                )
            require_extra("cluster", "a scheduler")

    @property
    def is_one_after_the_other(self) -> bool:
        """Whether this process does all of it by itself."""
        return self.scheduler is None and self.jobs in (None, 1)

    def threads_here(self, threads: int | None, *, num_runs: int | None) -> int | None:
        """The threads of one of the trainings on this machine: those asked for, else its share of the processors; None:
        as PyTorch has it.

        Args:
            num_runs: how many trainings there are in all, also those that are finished: so whoever goes on with fewer
                of them gives each the share that it would have had. None: as many as there are minutes for.
        """
        if threads is not None or self.is_one_after_the_other or self.scheduler is not None:
            return threads
        jobs = self.jobs or 1
        return max(1, num_processors() // (jobs if num_runs is None else min(jobs, num_runs)))

    def check_minutes(self, minutes: float | None) -> None:
        """ConfigError where minutes would be planned by the speed of this machine for others."""
        if minutes is not None and self.scheduler is not None:
            raise ConfigError(
                "minutes is given with a scheduler, but minutes are planned by the speed of this machine alone",
                hint="give epochs instead",
            )


ONE_AFTER_THE_OTHER = AtOnce()
