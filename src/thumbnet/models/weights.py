"""Trained weights, read into a model: whole, or all but its head."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from thumbnet.errors import CheckpointError

HEAD_PREFIX = "head."  # every model calls so the layer that gives its logits


def load_weights(model: nn.Module, path: Path) -> None:
    """Put the tensors of a safetensors file in the model; CheckpointError where they are damaged or do not fit."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"the weights {path} cannot be read: {error}", hint="train again") from error
    put_weights(model, content, name=str(path))


def put_weights(model: nn.Module, content: bytes, *, name: str) -> None:
    """Put the tensors of a safetensors file, given by its bytes, in the model.

    Raises:
        CheckpointError: they are damaged, not finite, of another type or shape than the model's, or not those of it.
    """
    try:
        weights = safetensors.torch.load(content)
    except (safetensors.SafetensorError, KeyError, ValueError, RuntimeError, OverflowError) as error:
        raise CheckpointError(f"the weights {name} cannot be read: {error}", hint="train again") from error
    check_weights(model, weights, name=f"the weights {name}")  # a file may hold them as float16 to be smaller
    model.load_state_dict(weights)


def check_weights(model: nn.Module, weights: Mapping[str, Tensor], *, name: str, exact: bool = False) -> None:
    """CheckpointError where these are not finite, or cannot be the state of the model by names, shapes and types.

    Unless `exact`, any type of floating-point numbers stands for another.
    """
    own = model.state_dict()
    difference = ""
    for key in [*own, *weights]:
        if key not in weights or key not in own:
            difference = f"{key} is {'missing' if key in own else 'not one of its tensors'}"
        elif weights[key].shape != own[key].shape:
            difference = f"{key} has the shape {tuple(weights[key].shape)} instead of {tuple(own[key].shape)}"
        elif not _is_alike(weights[key].dtype, own[key].dtype, exact=exact):
            difference = f"{key} is {weights[key].dtype} instead of {own[key].dtype}"
        if difference:
            raise CheckpointError(
                f"{name} do not fit the model: {difference}",
                hint="they belong to another model or number of classes, or were changed",
            )
    broken = first_not_finite(weights)
    if broken is not None:
        raise CheckpointError(f"{name} are not finite: {broken} holds NaN or infinity", hint="train again")


def _is_alike(dtype: torch.dtype, own: torch.dtype, *, exact: bool) -> bool:
    return dtype == own or (not exact and dtype.is_floating_point and own.is_floating_point)


def first_not_finite(weights: Mapping[str, Tensor]) -> str | None:
    """The name of the first tensor that holds NaN or infinity, if any does."""
    return next((name for name, tensor in weights.items() if not bool(tensor.isfinite().all())), None)


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
