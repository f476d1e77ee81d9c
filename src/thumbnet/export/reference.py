"""The original model's logits, which an exported one is checked against, and its distances, if its answer may be
unknown."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TypeAlias

import numpy as np
from jaxtyping import Float, UInt8

from thumbnet.models.program import Program
from thumbnet.models.program_numpy import run_program
from thumbnet.models.unknown import Unknown, distances_by
from thumbnet.specs.extras import require_extra
from thumbnet.trained.shippable import Shippable

MOST_BY_NUMPY = 100  # images; beyond, PyTorch's quicker arithmetic makes up for its import
BATCH_SIZE = 25
Outputs: TypeAlias = tuple[Float[np.ndarray, "n k"], Float[np.ndarray, " n"] | None]


def reference_logits(shippable: Shippable, images: UInt8[np.ndarray, "n c h w"]) -> Float[np.ndarray, "n k"]:
    """Logits float32 of the original model: by PyTorch, or for a few images, or without PyTorch, by NumPy.

    Raises:
        ExtraMissingError: it is no network of blocks, and PyTorch is not installed.
    """
    return reference_outputs(shippable, images)[0]


def reference_outputs(shippable: Shippable, images: UInt8[np.ndarray, "n c h w"]) -> Outputs:
    """The same, and the distances by the original's rule of what is unknown; None where it has none."""
    unknown = shippable.card.unknown
    if shippable.program is not None and (len(images) <= MOST_BY_NUMPY or find_spec("torch") is None):
        batches = np.array_split(images, range(BATCH_SIZE, len(images), BATCH_SIZE))
        found = [_by_numpy(shippable.program, unknown, batch) for batch in batches]
        distances = [each for _, each in found if each is not None]
        return np.concatenate([each for each, _ in found]), np.concatenate(distances) if distances else None
    require_extra("train", f"the model of {shippable.name}")
    import torch

    from thumbnet.evaluation.features import predict_distances
    from thumbnet.evaluation.predictions import predict_logits
    from thumbnet.export.original import load_original

    trained = load_original(shippable)
    mean, std = trained.card.mean, trained.card.std
    if unknown is not None:
        return predict_distances(trained.model, images, unknown, mean=mean, std=std)
    logits: Float[np.ndarray, "n k"] = predict_logits(
        trained.model, torch.from_numpy(images), mean=mean, std=std
    ).numpy()
    return logits, None


def _by_numpy(program: Program, unknown: Unknown | None, images: UInt8[np.ndarray, "n c h w"]) -> Outputs:
    found = run_program(program, images)
    return found.logits, None if unknown is None else distances_by(unknown, found.features)
