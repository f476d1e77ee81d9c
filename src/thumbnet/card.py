"""What must be known of a trained model to use it. Without PyTorch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from thumbnet.config import Option
from thumbnet.errors import RunError


@dataclass(frozen=True)
class ModelCard:
    """model.json: what must be known to use the weights, and where they came from.

    `mean` and `std` are per channel, of pixels in 0..1; `image_shape` is channels, height, width; `data_checksum` is
    the SHA-256 of all pixels and labels; `data_verified` is None where nothing is published to check against; `commit`
    is that of the checkout it was trained in, if it was one; `white_levels` are those by which pictures with more than
    8 bits were scaled (see data/white_levels.py), None of a model from before they were kept.
    """

    model: str
    model_options: Mapping[str, Option]
    num_params: int
    class_names: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    image_shape: tuple[int, int, int]
    recipe: str
    data: str
    data_description: str
    data_note: str
    data_checksum: str
    data_verified: bool | None
    num_train: int
    num_val: int
    num_test: int
    versions: Mapping[str, str]
    commit: str | None
    white_levels: Mapping[str, float] | None = None


def card_from_dict(values: Mapping[str, Any], *, name: str) -> ModelCard:
    """The card in the values of a JSON object; `name` says in errors where they came from."""
    fields: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
    try:
        return ModelCard(**fields)
    except TypeError as error:
        raise RunError(f"{name} is damaged: {error}", hint="train again") from error
