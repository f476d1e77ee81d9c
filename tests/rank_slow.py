"""`thumbnet` whose second process is slower than any plan of the first one knows; each leaves its weights."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from thumbnet.cli import main
from thumbnet.runs import parts
from thumbnet.specs.launch import this_launch
from thumbnet.training import fit

STEP_S = 0.05

launch = this_launch()
assert launch is not None
rank = launch.rank
train_epoch, fit_model = fit.train_epoch, parts.fit


def slow_epoch(loop: Any, epoch: int, step_ended: Callable[[int], object]) -> Any:
    def slow(step: int) -> object:
        time.sleep(STEP_S)
        return step_ended(step)

    return train_epoch(loop, epoch, step_ended if rank == 0 else slow)


def fit_and_leave(model: Any, *arguments: Any, **options: Any) -> Any:
    result = fit_model(model, *arguments, **options)
    torch.save(model.state_dict(), Path(f"weights-{rank}.pt"))  # those of trials that a plan measures are replaced
    return result


fit.train_epoch = slow_epoch
parts.fit = fit_and_leave
sys.exit(main())
