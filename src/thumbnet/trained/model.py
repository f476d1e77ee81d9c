"""Trained models with their cards: made from these, and used on pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from thumbnet.evaluation.images import ImagePrediction, OnUnreadable, predict_files
from thumbnet.evaluation.predictions import predict_logits
from thumbnet.models.card import ModelCard, card_from_dict
from thumbnet.models.pretrained import pretrained_path, read_pretrained_card
from thumbnet.models.registry import create_model
from thumbnet.models.weights import load_weights


@dataclass(frozen=True)
class TrainedModel:
    """A trained model, in evaluation mode, with its card."""

    model: nn.Module
    card: ModelCard


def create_from_card(card: ModelCard) -> nn.Module:
    """The model that a card describes, with random weights."""
    options: dict[str, Any] = dict(card.model_options)
    return create_model(
        card.model,
        num_classes=len(card.class_names),
        in_channels=card.image_shape[0],
        image_size=card.image_shape[1],
        **options,
    )


def load_pretrained(name: str) -> TrainedModel:
    """A model with the trained weights that come with the package, on the CPU; ModelError where there are none."""
    card = card_from_dict(read_pretrained_card(name), name=str(pretrained_path(name)))
    model = create_from_card(card)
    load_weights(model, pretrained_path(name))
    return TrainedModel(model.eval(), card)


def predict(
    trained: TrainedModel,
    paths: Sequence[str | Path],
    *,
    num_top: int = 3,
    on_unreadable: OnUnreadable | None = None,
) -> list[ImagePrediction]:
    """Predict pictures of any size by a run's model, or a pretrained one.

    Args:
        num_top: how many classes to give for each picture.
        on_unreadable: called for each file that cannot be read, with its path and the error; it then has no prediction.

    Raises:
        ImageError: files cannot be read, and there is no `on_unreadable`.
    """
    card = trained.card

    def logits_of(images: np.ndarray) -> np.ndarray:
        tensors = torch.from_numpy(images)
        return predict_logits(trained.model, tensors, mean=card.mean, std=card.std).numpy()

    return predict_files(
        logits_of,
        paths,
        class_names=card.class_names,
        image_shape=card.image_shape,
        white_levels=card.white_levels,
        num_top=num_top,
        on_unreadable=on_unreadable,
    )
