"""How long a training is: so many epochs, steps, or minutes, of which a plan makes steps."""

from __future__ import annotations

from collections.abc import Sequence

from thumbnet.errors import ConfigError
from thumbnet.specs.checks import require
from thumbnet.specs.limits import MAX_STEPS, check_epochs, check_min_steps

LENGTHS = ("epochs", "minutes", "steps")  # one of them is given; a resolved config has epochs beside steps
LEAST_MINUTES, MOST_MINUTES = 0.2, 10_000.0
OF_THE_RECIPE = (  # taken together from the recipe that the plan chooses
    "model", "model_options", "batch_size", "optimizer", "lr", "momentum", "nesterov", "weight_decay", "bias_lr",
    "bias_momentum", "head_lr", "label_smoothing", "alternating_flip",
)  # fmt: skip
PLANNABLE = (
    *OF_THE_RECIPE,
    "image_size",
    "scales",
    "scale_starts",
    "class_weights",
    "score_every",
    "refit",
)  # what a plan of minutes may choose


def check_length(
    *, epochs: int, minutes: float | None, planned: Sequence[str] | None, steps: int | None, min_steps: int | None
) -> None:
    """ConfigError for a training of no length, of two that contradict each other, or longer than anyone could wait."""
    if minutes is None and steps is None and epochs == 0:
        raise ConfigError(
            "epochs is 0, and neither steps nor minutes are given", hint="give epochs = 10, or minutes = 10"
        )
    if epochs:
        check_epochs(epochs)
    for name, value in (("epochs", epochs or None), ("steps", steps), ("min_steps", min_steps)):
        if minutes is not None and value is not None:
            raise ConfigError(f"{name} is {value} and minutes is {minutes:g}", hint="leave one of the two out")
    if steps is not None and min_steps is not None:
        raise ConfigError(f"min_steps is {min_steps} and steps is {steps}", hint="leave one of the two out")
    if min_steps is not None:
        check_min_steps(min_steps)
    expected = f"at least {LEAST_MINUTES:g} and at most {MOST_MINUTES:,.0f}"
    require(minutes is None or LEAST_MINUTES <= minutes <= MOST_MINUTES, "minutes", minutes, expected)
    require(steps is None or 1 <= steps <= MAX_STEPS, "steps", steps, f"at least 1 and at most {MAX_STEPS:,}")
    if planned is not None and minutes is None:
        raise ConfigError("planned is given without minutes", hint="give minutes, or leave planned out")
    for name in planned or ():
        require(name in PLANNABLE, "planned", list(planned or ()), f"some of {', '.join(PLANNABLE)}")
