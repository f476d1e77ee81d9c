"""Trained weights: read into a model, whole or but for its head, and those that come with the package.

A file of the package is `pretrained/<model>.safetensors`, whose metadata holds the model's card, as a run's model.json.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from torch import Tensor, nn

from thumbnet.errors import CheckpointError, ModelError

HEAD_PREFIX = "head."  # every model calls so the layer that gives its logits
SUFFIX = ".safetensors"
CARD = "card"


def load_weights(model: nn.Module, path: Path) -> None:
    """Put the tensors of a safetensors file in the model; CheckpointError where they are damaged or do not fit."""
    try:
        model.load_state_dict(safetensors.torch.load_file(path))
    except (OSError, safetensors.SafetensorError) as error:
        raise CheckpointError(f"the weights {path} cannot be read: {error}", hint="train again") from error
    except RuntimeError as error:
        raise CheckpointError(
            f"the weights {path} do not fit the model: {error}",
            hint="they belong to another model or number of classes",
        ) from error


def load_all_but_head(model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Put trained weights in a model of the same kind, whose head stays as it is, perhaps for other classes.

    Raises:
        CheckpointError: they are of another kind of model.
    """
    body = {name: tensor for name, tensor in weights.items() if not name.startswith(HEAD_PREFIX)}
    own = {name: tensor for name, tensor in model.state_dict().items() if name.startswith(HEAD_PREFIX)}
    try:
        model.load_state_dict({**body, **own})
    except RuntimeError as error:
        raise CheckpointError(
            f"the weights to begin with do not fit the model: {error}",
            hint="begin with weights of the same model, for images with as many channels",
        ) from error


def list_pretrained() -> list[str]:
    """The models whose trained weights come with the package."""
    return sorted(file.name.removesuffix(SUFFIX) for file in _folder().iterdir() if file.name.endswith(SUFFIX))


def pretrained_path(name: str) -> Path:
    """The weights of a model of `list_pretrained`; ModelError for another."""
    if name not in list_pretrained():
        raise ModelError(
            f"no trained weights of {name!r} come with the package",
            hint=f"choose one of {', '.join(list_pretrained())}, or train it and give the run",
        )
    return _folder() / f"{name}{SUFFIX}"


def read_pretrained_card(name: str) -> dict[str, Any]:
    """What is known of a pretrained model, as its run's model.json had it."""
    with safetensors.safe_open(pretrained_path(name), framework="pt") as file:
        card: dict[str, Any] = json.loads(file.metadata()[CARD])
    return card


def _folder() -> Path:
    return Path(str(resources.files("thumbnet.models") / "pretrained"))
