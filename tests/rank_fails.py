"""`thumbnet` whose second process fails, as the first argument says: `network` (it has none), or in an `epoch`."""

from __future__ import annotations

import os
import sys
from typing import Any

from thumbnet.cli import main
from thumbnet.errors import DataError
from thumbnet.specs.launch import this_launch
from thumbnet.training import fit

FAILS_IN = 2
where = sys.argv.pop(1)
launch = this_launch()
assert launch is not None
if launch.rank == 1 and where == "network":
    os.environ["GLOO_SOCKET_IFNAME"] = "nosuch0"
elif launch.rank == 1:
    original = fit.train_epoch

    def train_epoch(loop: Any, epoch: int, step_ended: Any) -> Any:
        if epoch == FAILS_IN:
            raise DataError("the disk of nosuch0 is gone", hint="look for it")
        return original(loop, epoch, step_ended)

    fit.train_epoch = train_epoch
sys.exit(main())
