"""The limits of a training's length and batches."""

from __future__ import annotations

from thumbnet.errors import ConfigError
from thumbnet.specs.checks import require

MAX_EPOCHS = 1_000_000
MAX_STEPS = 1_000_000_000
MAX_BATCH_SIZE = 1_000_000


def check_epochs(epochs: int) -> None:
    """ConfigError for fewer epochs than one, or for more than anyone could wait for."""
    require(epochs >= 1, "epochs", epochs, "at least 1")
    if epochs > MAX_EPOCHS:
        raise ConfigError(
            f"epochs is {epochs}: at a second each, that takes {_years(epochs)}",
            hint=f"epochs must be at most {MAX_EPOCHS:,}",
        )


def check_min_steps(min_steps: int) -> None:
    """ConfigError for fewer steps than none, or for more than anyone could wait for."""
    if min_steps > MAX_STEPS:
        raise ConfigError(
            f"min_steps is {min_steps}: at a millisecond each, that takes {_years(min_steps / 1e3)}",
            hint=f"min_steps must be at most {MAX_STEPS:,}",
        )
    require(min_steps >= 0, "min_steps", min_steps, "at least 0, which means none")


def check_batch_size(batch_size: int) -> None:
    """ConfigError for a batch that no batch normalisation could train on, or that no memory could hold."""
    expected = f"at least 2 (batch normalisation needs two) and at most {MAX_BATCH_SIZE:,}"
    require(2 <= batch_size <= MAX_BATCH_SIZE, "batch_size", batch_size, expected)


def _years(seconds: float) -> str:
    return f"{seconds / (365.25 * 24 * 3600):,.1f} years"
