"""`thumbnet` that kills itself once in a certain epoch of each of certain processes: `KILLED=1:2,0:3`, RANK:EPOCH."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

from thumbnet.cli import main
from thumbnet.specs.launch import this_launch
from thumbnet.training import fit

launch = this_launch()
assert launch is not None
killed_in = dict(pair.split(":") for pair in os.environ.get("KILLED", "1:2").split(","))
was_killed = Path(f"killed-{launch.rank}")  # in the working directory, which is the test's own
if str(launch.rank) in killed_in and not was_killed.exists():
    original = fit.train_epoch

    def train_epoch(loop: Any, epoch: int, step_ended: Any) -> Any:
        if epoch == int(killed_in[str(launch.rank)]):
            was_killed.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return original(loop, epoch, step_ended)

    fit.train_epoch = train_epoch
sys.exit(main())
