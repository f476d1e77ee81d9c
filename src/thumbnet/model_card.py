"""Trained models with their cards: made from these, used on pictures, and brought together with data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from thumbnet.card import ModelCard, card_from_dict
from thumbnet.data.dataset import Dataset
from thumbnet.data.folder import normalised_name
from thumbnet.data.source_registry import source_name
from thumbnet.data.sources import load_dataset, load_whole_dataset
from thumbnet.data.white_levels import scale_for
from thumbnet.errors import RunError
from thumbnet.evaluation.images import ImagePrediction, OnUnreadable, predict_files
from thumbnet.evaluation.predictions import predict_logits
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


def load_test_data(
    trained: TrainedModel,
    data: str | None = None,
    *,
    data_dir: str | Path | None = None,
    allow_unverified: bool = False,
) -> Dataset:
    """The data that a model was trained on, or other data of the same classes, with the model's mean and std.

    Of it only the test split is sure to be unseen: which images were held out for validation, a card does not say.

    Raises:
        RunError: the other data has other classes or another image shape than the model was trained for.
    """
    card = trained.card
    dataset = load_dataset(
        card.data if data is None else data,
        data_dir=data_dir,
        allow_unverified=allow_unverified,
        image_size=card.image_shape[1],
        white_levels=scale_for(card.white_levels),
        in_colour=card.image_shape[0] == 3,
    )
    check_fits(card, dataset)
    return dataset.with_statistics(card.mean, card.std)


def load_unseen_data(
    trained: TrainedModel, data: str, *, data_dir: str | Path | None = None, allow_unverified: bool = False
) -> Dataset:
    """All images of data that a model was not trained on, as the test split, with the model's mean and std.

    Raises:
        RunError: it is the model's own data, or has other classes or another image shape.
    """
    card = trained.card
    if source_name(data) == card.data:
        raise _seen(card)
    dataset = load_whole_dataset(
        data,
        data_dir=data_dir,
        allow_unverified=allow_unverified,
        image_size=card.image_shape[1],
        white_levels=scale_for(card.white_levels),
        in_colour=card.image_shape[0] == 3,
    )
    if dataset.source.name == card.data:  # what `auto` may turn out to be
        raise _seen(card)
    check_fits(card, dataset)
    return dataset.with_statistics(card.mean, card.std)


def _seen(card: ModelCard) -> RunError:
    return RunError(
        f"all images are asked for, but {card.model} was trained on most of those of {card.data}",
        hint="score the test split, or other images of the same classes",
    )


def check_fits(card: ModelCard, dataset: Dataset) -> None:
    """RunError where the data has other classes or another image shape than the model was trained for."""
    if dataset.class_names != tuple(normalised_name(name) for name in card.class_names):
        raise RunError(
            f"the model was trained on the classes {_short_list(card.class_names)}, "
            f"but the data has {_short_list(dataset.class_names)}",
            hint="score it on data with the same classes in the same order",
        )
    if dataset.image_shape != card.image_shape:
        raise RunError(
            f"the model was trained on images of {_shape(card.image_shape)}, but the data has "
            f"{_shape(dataset.image_shape)}",
            hint="score it on images of the same size and colours",
        )


def _shape(image_shape: tuple[int, int, int]) -> str:
    channels, height, width = image_shape
    return f"{width}x{height} pixels in {'grey' if channels == 1 else 'colour'}"


def _short_list(names: tuple[str, ...]) -> str:
    shown = ", ".join(names[:10])
    return f"{shown}, ... ({len(names)})" if len(names) > 10 else shown
