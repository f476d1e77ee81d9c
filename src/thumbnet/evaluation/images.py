"""Predictions for image files of any size and mode, prepared as the folder source prepares them. Without PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from thumbnet.data.images import read_image_array


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
    logits_of: Callable[[UInt8[np.ndarray, "n c h w"]], Float[np.ndarray, "n k"]],
    paths: Sequence[str | Path],
    *,
    class_names: Sequence[str],
    image_shape: tuple[int, int, int],
    num_top: int = 3,
) -> list[ImagePrediction]:
    """Predict image files: each is turned upright, resized so that it fits and centre-cropped.

    Raises:
        ImageError: a file cannot be read as an image.
    """
    if not paths:
        return []
    num_channels, height, width = image_shape
    images = np.stack(
        [read_image_array(Path(path), image_size=(height, width), num_channels=num_channels) for path in paths]
    )
    logits = logits_of(images).astype(np.float64)
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    predictions = []
    for path, row in zip(paths, powers / powers.sum(axis=1, keepdims=True), strict=True):
        best = np.argsort(-row, kind="stable")[:num_top]
        top = tuple(ClassProbability(class_names[index], float(row[index])) for index in best)
        predictions.append(ImagePrediction(str(path), top[0].class_name, top[0].probability, top))
    return predictions
