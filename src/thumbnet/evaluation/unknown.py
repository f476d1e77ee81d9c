"""From which distance on a picture is unlike everything that a network of blocks was trained on."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor, nn

from thumbnet.data.batches import normalise
from thumbnet.data.dataset import Dataset
from thumbnet.evaluation.predictions import batch_size_for, evaluating
from thumbnet.models.blocknet import BlockNet
from thumbnet.models.export_data import calibration_order
from thumbnet.models.unknown import MOST_VALUES, Unknown, distances_to_means, unknown_answers

MIN_IMAGES = 200  # for validation: a share of 5 % of fewer rests on less than ten
MOST_MEASURED = 10_000  # training images for means and deviations
SILENT = 1e-3  # of the largest deviation: features that vary less count as if they varied so much
DIGITS = 4  # of each number in a card


def measure_features(model: BlockNet, images: UInt8[Tensor, "n c h w"], dataset: Dataset) -> Float[np.ndarray, "n d"]:
    """The means of the last maps, float32, in one view and in evaluation mode, on the model's device."""
    found: list[np.ndarray] = []

    def keep(_module: nn.Module, inputs: tuple[Any, ...]) -> None:
        found.append(inputs[0].float().cpu().numpy())

    hook = model.head.register_forward_pre_hook(keep)
    device = next(model.parameters()).device
    try:
        with evaluating(model):
            for batch in images.split(batch_size_for(images)):
                model(normalise(batch.to(device), dataset.mean, dataset.std))
    finally:
        hook.remove()
    return np.concatenate(found)


def measure_unknown(model: BlockNet, dataset: Dataset, share: float) -> Unknown | None:
    """The rule of a model that was trained on a dataset; None where too few images are held out, or the means would
    take too much room."""
    if dataset.val is None:
        return None
    chosen = torch.from_numpy(calibration_order(len(dataset.train))[:MOST_MEASURED])
    train = measure_features(model, dataset.train.images[chosen], dataset)
    held_out = measure_features(model, dataset.val.images, dataset)
    return pick_unknown(train, dataset.train.labels[chosen].numpy(), held_out, share=share)


def pick_unknown(
    train: Float[np.ndarray, "n d"],
    labels: Int64[np.ndarray, " n"],
    held_out: Float[np.ndarray, "m d"],
    *,
    share: float,
) -> Unknown | None:
    """The distance beyond which a fraction `share` of the images lies that the model was not trained on.

    Args:
        train: features of training images, with their labels.
        held_out: features of validation images. The limit lies midway between the distances of two of them, so that
            rounding in an export moves none.
    """
    classes = np.unique(labels)
    if len(held_out) < MIN_IMAGES or len(classes) * train.shape[1] > MOST_VALUES:
        return None
    exact = train.astype(np.float64)
    means = np.stack([exact[labels == label].mean(axis=0) for label in classes])
    deviations = np.sqrt(((exact - means[np.searchsorted(classes, labels)]) ** 2).mean(axis=0))
    deviations = np.maximum(deviations, SILENT * deviations.max())
    if not np.isfinite(deviations).all() or deviations.max() == 0:
        return None
    means, deviations = _rounded(means), _rounded(deviations)
    distances = np.sort(distances_to_means(held_out, means, deviations))
    num_known = len(distances) - max(1, round(share * len(distances)))
    limit = float(distances[num_known - 1] + distances[num_known]) / 2
    rule = Unknown(tuple(map(tuple, means.tolist())), tuple(deviations.tolist()), limit, share, len(held_out), 0)
    num_unknown = int(unknown_answers(rule, held_out).sum())
    return Unknown(rule.means, rule.deviations, limit, share, len(held_out), num_unknown)


def _rounded(values: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    """As they stand in a card, so that the limit is of these."""
    rounded: Float[np.ndarray, "..."] = np.array([float(f"{value:.{DIGITS}g}") for value in values.ravel()])
    return rounded.reshape(values.shape)
