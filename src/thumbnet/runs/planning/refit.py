"""Whether a plan ends with a second training, on training and validation images together, and the time for it."""

from __future__ import annotations

from dataclasses import replace

from thumbnet.config import TrainConfig
from thumbnet.data.dataset import Dataset
from thumbnet.runs.planning.apply import is_planned
from thumbnet.runs.planning.constants import REFIT_MARGIN, REFIT_ROOM
from thumbnet.runs.planning.measured import Measured
from thumbnet.runs.refit import steps_per_epoch_of


def with_refit(config: TrainConfig, made: Measured, dataset: Dataset, *, left_s: float) -> tuple[Measured, float]:
    """The plan, and the time of a second training over that of the first one: 0 where there is none.

    Where it is left to the plan, it is chosen if the first one is the longest that a plan makes, and REFIT_ROOM times
    what the second one takes is left.

    Args:
        config: as it was asked for.
        left_s: seconds for both, where the second one was not asked for.
    """
    if made.steps < 2:  # there is no time for one
        return made, 0.0
    steps_per_epoch, more = steps_per_epoch_of(made.resolved, dataset)
    longer = more / steps_per_epoch
    if config.refit:
        return made, REFIT_MARGIN * longer
    first_s = made.steps * made.left_s / made.fitting_steps  # with the scores between epochs
    is_open = is_planned(config, "refit") and not config.against_refit and dataset.val is not None
    if not is_open or made.steps < made.max_steps or first_s * (1 + REFIT_ROOM * longer) > left_s:
        return made, 0.0
    chosen, resolved = (each.replace(refit=True) for each in (made.chosen, made.resolved))
    return replace(made, chosen=chosen, resolved=resolved), REFIT_MARGIN * longer
