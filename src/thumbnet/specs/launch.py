"""How this process was started: alone, or as one of several that torchrun started. Imports no torch.

torchrun says it by environment variables; other launchers that set the same ones will do.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from thumbnet.errors import ConfigError

VARIABLES = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_PORT")
ADDRESS = "MASTER_ADDR"
RUN_ID = "TORCHELASTIC_RUN_ID"
ONE_TRAINING = "several processes train one network: `torchrun ... -m thumbnet train` without --seeds and --folds"
AGENT_STORE = "TORCHELASTIC_USE_AGENT_STORE"


@dataclass(frozen=True)
class Launch:
    """One process of several.

    `rank` counts from 0 over all machines, `local_rank` on this one; `size` is how many there are. `address` and `port`
    are those of the store where they find each other, which is the launcher's own where `is_store_kept`: it then
    outlives a restart of the processes. `run_id` is the launcher's, which may share that store with another.
    """

    rank: int
    local_rank: int
    size: int
    address: str
    port: int
    run_id: str = ""
    is_store_kept: bool = False

    @property
    def has_several(self) -> bool:
        return self.size > 1

    @property
    def is_first(self) -> bool:
        """Whether this is the process that reads, plans, scores and writes."""
        return self.rank == 0


def launch_of(variables: Mapping[str, str]) -> Launch | None:
    """What these environment variables say; None where they are not those of a launcher.

    Raises:
        ConfigError: one of them is no number, or a rank is not below the number of processes.
    """
    if ADDRESS not in variables or any(name not in variables for name in VARIABLES):
        return None
    values = [variables[name] for name in VARIABLES]
    if not all(value.isdecimal() for value in values):
        raise _wrong(variables)
    rank, local_rank, size, port = (int(variables[name]) for name in VARIABLES)
    if not max(rank, local_rank) < size:
        raise _wrong(variables)
    return Launch(
        rank=rank,
        local_rank=local_rank,
        size=size,
        address=variables[ADDRESS],
        port=port,
        run_id=variables.get(RUN_ID, ""),
        is_store_kept=variables.get(AGENT_STORE) == "True",
    )


def this_launch() -> Launch | None:
    """That of this process; ConfigError as of `launch_of`."""
    return launch_of(os.environ)


def refuse_several(what: str, *, hint: str) -> None:
    """ConfigError where this is one of several processes, for what only one can do."""
    launch = this_launch()
    if launch is not None and launch.has_several:
        raise ConfigError(f"{what}, but torchrun started {launch.size} processes", hint=hint)


def _wrong(variables: Mapping[str, str]) -> ConfigError:
    told = ", ".join(f"{name}={variables[name]}" for name in VARIABLES)
    return ConfigError(f"the environment says {told}", hint="start the processes with torchrun, which sets them right")
