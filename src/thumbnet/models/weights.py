"""Trained weights, read into a model: whole, or all but its head."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import safetensors
import safetensors.torch
from torch import Tensor, nn

from thumbnet.errors import CheckpointError

HEAD_PREFIX = "head."  # every model calls so the layer that gives its logits


def load_weights(model: nn.Module, path: Path) -> None:
    """Put the tensors of a safetensors file in the model; CheckpointError where they are damaged or do not fit."""
    try:
        model.load_state_dict(safetensors.torch.load(path.read_bytes()))  # its own way to open a file wants UTF-8
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
