"""Trained models with their cards: made from these, and used on pictures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import nn

from thumbnet.evaluation.features import predict_distances
from thumbnet.evaluation.image_answers import LogitsAndDistances
from thumbnet.evaluation.predictions import predict_logits
from thumbnet.models.card import ModelCard, card_from_dict
from thumbnet.models.pretrained import pretrained_path, read_pretrained_card
from thumbnet.models.registry import create_model
from thumbnet.models.weights import load_weights
from thumbnet.trained.predictor import Predictor


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
        image_size=card.image_shape[1:],
        **options,
    )


def load_pretrained(name: str) -> TrainedModel:
    """A model with the trained weights that come with the package, on the CPU; ModelError where there are none."""
    card = card_from_dict(read_pretrained_card(name), name=str(pretrained_path(name)))
    model = create_from_card(card)
    load_weights(model, pretrained_path(name))
    return TrainedModel(model.eval(), card)


def torch_predictor(trained: TrainedModel) -> Predictor:
    """A trained model on PyTorch, on the CPU."""
    card = trained.card

    def logits_of(images: UInt8[np.ndarray, "n c h w"]) -> Float[np.ndarray, "n k"]:
        logits: Float[np.ndarray, "n k"] = predict_logits(
            trained.model, torch.from_numpy(images), mean=card.mean, std=card.std
        ).numpy()
        return logits

    unknown = card.unknown
    if unknown is None:
        return Predictor(card, logits_of)

    def with_distances(images: UInt8[np.ndarray, "n c h w"]) -> LogitsAndDistances:
        return predict_distances(trained.model, images, unknown, mean=card.mean, std=card.std)

    return Predictor(card, logits_of, with_distances)
