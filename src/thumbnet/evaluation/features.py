"""Features of images, the means of a network's last maps, which its head sees: with the logits, in one pass."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from thumbnet.evaluation.image_answers import LogitsAndDistances
from thumbnet.evaluation.predictions import predict_logits
from thumbnet.models.blocknet import BlockNet
from thumbnet.models.unknown import Unknown, distances_by


class LogitsAndFeatures(NamedTuple):
    """Float32, on the CPU: logits [N,K], and features [N,D]."""

    logits: Float[Tensor, "n k"]
    features: Float[Tensor, "n d"]


def predict_features(
    model: BlockNet, images: UInt8[Tensor, "n c h w"], *, mean: Sequence[float], std: Sequence[float]
) -> LogitsAndFeatures:
    """Logits and features of every image, as `predict_logits`."""
    found: list[Tensor] = []

    def keep(_module: nn.Module, inputs: tuple[Any, ...]) -> None:
        found.append(inputs[0].float().cpu())

    hook = model.head.register_forward_pre_hook(keep)
    try:
        logits = predict_logits(model, images, mean=mean, std=std)
    finally:
        hook.remove()
    return LogitsAndFeatures(logits, torch.cat(found))


def predict_distances(
    model: nn.Module,
    images: UInt8[np.ndarray, "n c h w"],
    unknown: Unknown,
    *,
    mean: Sequence[float],
    std: Sequence[float],
) -> LogitsAndDistances:
    """Logits of every image, and its distance by the rule of such a model, a network of blocks."""
    assert isinstance(model, BlockNet)  # a card with the rule is of no other
    found = predict_features(model, torch.from_numpy(images), mean=mean, std=std)
    return LogitsAndDistances(found.logits.numpy(), distances_by(unknown, found.features.numpy()))
