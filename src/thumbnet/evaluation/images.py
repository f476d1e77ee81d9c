"""What a model says of image files: any size and mode, prepared as the folder source prepares them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from thumbnet.data.images import read_image_tensor
from thumbnet.evaluation.predictions import predict_logits


@dataclass(frozen=True)
class ClassProbability:
    """A class and the probability that the model gives it."""

    class_name: str
    probability: float


@dataclass(frozen=True)
class ImagePrediction:
    """An image file's most probable class, with its probability, and the runners-up, most probable first."""

    path: str
    class_name: str
    probability: float
    top: tuple[ClassProbability, ...]


def predict_files(
    model: nn.Module,
    paths: Sequence[str | Path],
    *,
    class_names: Sequence[str],
    image_shape: tuple[int, int, int],
    mean: Sequence[float],
    std: Sequence[float],
    num_top: int = 3,
) -> list[ImagePrediction]:
    """Predict image files: each is turned upright, resized so that it fits, centre-cropped and normalised.

    Raises:
        ImageError: a file cannot be read as an image.
    """
    num_channels, height, width = image_shape
    images = torch.stack(
        [read_image_tensor(Path(path), image_size=(height, width), num_channels=num_channels) for path in paths]
    )
    probabilities = predict_logits(model, images, mean=mean, std=std).softmax(dim=1)
    predictions = []
    for path, row in zip(paths, probabilities, strict=True):
        values, indices = row.topk(min(num_top, len(class_names)))
        top = tuple(
            ClassProbability(class_names[index], value)
            for value, index in zip(values.tolist(), indices.tolist(), strict=True)
        )
        predictions.append(ImagePrediction(str(path), top[0].class_name, top[0].probability, top))
    return predictions
