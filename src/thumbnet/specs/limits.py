"""The limits of a training's length, batches and images."""

from __future__ import annotations

from thumbnet.errors import ConfigError
from thumbnet.specs.checks import MAX_IMAGE_SIZE, require

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


def check_image_size(image_size: int) -> None:
    """ConfigError for a side in pixels that is too small for an image or too large for memory."""
    if image_size > MAX_IMAGE_SIZE:
        raise ConfigError(
            f"image_size is {image_size}: a hundred colour images of that side take {300e-9 * image_size**2:,.0f} GB",
            hint=f"image_size must be at most {MAX_IMAGE_SIZE} pixels",
        )
    require(image_size >= 4, "image_size", image_size, "at least 4 pixels")


def _years(seconds: float) -> str:
    return f"{seconds / (365.25 * 24 * 3600):,.1f} years"
