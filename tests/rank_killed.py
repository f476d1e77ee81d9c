"""`thumbnet` whose second process is killed in its second epoch, the first time that it is started."""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

from thumbnet.cli import main
from thumbnet.specs.launch import this_launch
from thumbnet.training import fit

launch = this_launch()
assert launch is not None
if launch.rank == 1 and launch.restarts == 0:
    original = fit.train_epoch

    def train_epoch(loop: Any, epoch: int, step_ended: Any) -> Any:
        if epoch == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(loop, epoch, step_ended)

    fit.train_epoch = train_epoch
sys.exit(main())
