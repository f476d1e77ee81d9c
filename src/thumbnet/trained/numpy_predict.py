"""Predictions of a pretrained model for a few pictures, without PyTorch, which takes two seconds to import."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from thumbnet.evaluation.images import ImagePrediction, OnUnreadable, predict_files
from thumbnet.models.program_numpy import run_program
from thumbnet.trained.shippable import load_pretrained_shippable

MOST_PICTURES = 100  # beyond, PyTorch's quicker arithmetic begins to make up for its import
BATCH_SIZE = 10


def predict_pretrained(
    name: str, paths: Sequence[str | Path], *, num_top: int = 3, on_unreadable: OnUnreadable | None = None
) -> list[ImagePrediction]:
    """`predict(load_pretrained(name), paths)`, up to rounding; arguments and errors are the same.

    Raises:
        ModelError: no trained weights of that name come with the package.
    """
    shippable = load_pretrained_shippable(name)
    card, program = shippable.card, shippable.program
    assert program is not None

    def logits_of(images: np.ndarray) -> np.ndarray:
        batches = np.array_split(images, range(BATCH_SIZE, len(images), BATCH_SIZE))
        return np.concatenate([run_program(program, batch).logits for batch in batches])

    return predict_files(
        logits_of,
        paths,
        class_names=card.class_names,
        image_shape=card.image_shape,
        white_levels=card.white_levels,
        num_top=num_top,
        on_unreadable=on_unreadable,
    )
