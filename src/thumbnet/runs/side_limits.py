"""Which sides of images a config's training can take, for a size that is left to the data."""

from __future__ import annotations

from thumbnet.config import TrainConfig
from thumbnet.models.registry import MODELS, image_sides
from thumbnet.specs.checks import MAX_IMAGE_SIZE
from thumbnet.specs.sizes import ANY_SIDE, SideLimits


def sides_for(config: TrainConfig) -> SideLimits:
    """The least and the largest side of square images that the config's model takes; the least also where they begin
    small, unless that is beyond the largest, which is refused where the sizes are checked."""
    if config.model not in MODELS:
        return ANY_SIDE  # refused where it is created
    least, largest = image_sides(config.model, config.model_options)
    resizing = config.inputs.resizing
    growing = next(
        side for side in range(least, MAX_IMAGE_SIZE + 1) if min(resizing.sides((side, side), 0, 1)) >= least
    )
    return (growing if largest is None or growing <= largest else least), largest
