"""Predictions for image files of any size and mode, prepared as the folder source prepares them. Without PyTorch."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from jaxtyping import Float, UInt8

from thumbnet.data.images import read_image_array
from thumbnet.data.unreadable import unreadable_error
from thumbnet.errors import ImageError
from thumbnet.specs.data import WhiteLevels

OnUnreadable: TypeAlias = Callable[[str, ImageError], object]

ADDRESS = re.compile("[A-Za-z][A-Za-z0-9+.-]+://")


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
    white_levels: WhiteLevels | None = None,
    num_top: int = 3,
    on_unreadable: OnUnreadable | None = None,
) -> list[ImagePrediction]:
    """Predict image files: each is turned upright, resized so that it fits and centre-cropped.

    Args:
        logits_of: from images uint8 to logits.
        white_levels: by which the model's own pictures with more than 8 bits were scaled.
        on_unreadable: called for each file that cannot be read, with its path and the error; it then has no prediction.

    Raises:
        ImageError: files cannot be read, all of which it names, and there is no `on_unreadable`.
    """
    num_channels, height, width = image_shape
    arrays: dict[int, UInt8[np.ndarray, "c h w"]] = {}
    unreadable: dict[int, ImageError] = {}
    for place, path in enumerate(paths):
        try:
            if ADDRESS.match(str(path)):
                raise ImageError(f"{path} is an address, and no pictures are fetched", hint="download it first")
            arrays[place] = read_image_array(
                Path(path), image_size=(height, width), num_channels=num_channels, white_levels=white_levels
            )
        except ImageError as error:
            unreadable[place] = error
            if on_unreadable is not None:
                on_unreadable(str(path), error)
    if unreadable and on_unreadable is None:
        raise unreadable_error(list(unreadable.values()), len(paths), hint="replace them, or take them out")
    if not arrays:
        return []
    logits = logits_of(np.stack(list(arrays.values()))).astype(np.float64)
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    predictions = []
    read = [paths[place] for place in arrays]
    for path, row in zip(read, powers / powers.sum(axis=1, keepdims=True), strict=True):
        best = np.argsort(-row, kind="stable")[:num_top]
        top = tuple(ClassProbability(class_names[index], float(row[index])) for index in best)
        predictions.append(ImagePrediction(str(path), top[0].class_name, top[0].probability, top))
    return predictions
