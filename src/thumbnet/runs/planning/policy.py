"""An augmentation that leaves the time for the epochs that it is for."""

from __future__ import annotations

import math
from collections.abc import Callable

from thumbnet.runs.choices.augmentation import Judgement, PolicyChoice
from thumbnet.runs.planning.measured import Measured


def choose_affordable(
    judgement: Judgement, measured_with: Callable[[PolicyChoice], Measured], *, epochs: int
) -> tuple[Measured, str, int]:
    """What fits into the time with the chosen policy, why it is that one, in a sentence, and for how many epochs it was
    chosen.

    Stronger policies are for longer trainings, and take time of their own: one with which no more than the epochs of
    a weaker one are left gives way to that.

    Args:
        measured_with: gives the steps and epochs that fit with a policy.
        epochs: those that fit with a policy that takes no time.
    """
    while True:
        choice = judgement.choice(epochs)
        made = measured_with(choice)
        fitting = math.ceil(made.epochs)
        if fitting >= epochs or judgement.choice(fitting) == choice:
            return made, judgement.reason(choice, fitting), min(epochs, fitting)
        epochs = fitting
