"""The original model's logits, which an exported one is checked against."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
from jaxtyping import Float, UInt8

from thumbnet.models.program_numpy import run_program
from thumbnet.specs.extras import require_extra
from thumbnet.trained.shippable import Shippable

MOST_BY_NUMPY = 100  # images; beyond, PyTorch's quicker arithmetic makes up for its import
BATCH_SIZE = 25


def reference_logits(shippable: Shippable, images: UInt8[np.ndarray, "n c h w"]) -> Float[np.ndarray, "n k"]:
    """Logits float32 of the original model: by PyTorch, or for a few images, or without PyTorch, by NumPy.

    Raises:
        ExtraMissingError: it is no network of blocks, and PyTorch is not installed.
    """
    if shippable.program is not None and (len(images) <= MOST_BY_NUMPY or find_spec("torch") is None):
        batches = np.array_split(images, range(BATCH_SIZE, len(images), BATCH_SIZE))
        return np.concatenate([run_program(shippable.program, batch).logits for batch in batches])
    require_extra("train", f"the model of {shippable.name}")
    import torch

    from thumbnet.evaluation.predictions import predict_logits
    from thumbnet.export.original import load_original

    trained = load_original(shippable)
    logits: Float[np.ndarray, "n k"] = predict_logits(
        trained.model, torch.from_numpy(images), mean=trained.card.mean, std=trained.card.std
    ).numpy()
    return logits
