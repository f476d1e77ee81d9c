"""init.json: how a training with `init = "auto"` chose what to begin with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from thumbnet.specs.typed import from_fields

INIT_FORMAT = 1


@dataclass(frozen=True)
class StartTrial:
    """A short training that began with the trained weights of this name, or with new ones (None).

    `val_accuracy` is that on the validation images, or the mean over their classes where these weigh the same in the
    training, with its standard error.
    """

    weights: str | None
    model: str
    steps: int
    epochs: float
    seconds: float
    val_accuracy: float
    standard_error: float


@dataclass(frozen=True)
class InitChoice:
    """The weights to begin with, by name, or None for new ones, and the reason in a sentence for people.

    `gain` is what the trained weights gained over new ones, with the standard error of this difference on the `num_val`
    validation images; None where nothing was tried.
    """

    weights: str | None
    reason: str
    num_val: int
    trials: tuple[StartTrial, ...] = ()
    gain: float | None = None
    gain_standard_error: float | None = None


def init_choice_to_dict(choice: InitChoice) -> dict[str, object]:
    """Plain values, as init.json holds them."""
    return asdict(choice)


def init_choice_from_dict(values: Mapping[str, object], *, name: str) -> InitChoice:
    """The inverse of `init_choice_to_dict`; RunError, which names the file `name`, for anything else."""
    return from_fields(InitChoice, values, name=name)
