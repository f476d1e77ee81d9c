"""From which distance on a picture is unlike everything that a network of blocks was trained on."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import nn

from thumbnet.data.dataset import Dataset
from thumbnet.data.streamed import chosen_of
from thumbnet.errors import ConfigError, DataError
from thumbnet.evaluation.features import predict_features
from thumbnet.evaluation.metrics import Evaluation
from thumbnet.evaluation.refused import Refusals, refusals
from thumbnet.models.blocknet import BlockNet, architecture_of_model
from thumbnet.models.export_data import calibration_order
from thumbnet.models.unknown import (
    MOST_VALUES,
    UNKNOWN,
    Unknown,
    contradiction_of_unknown,
    distances_by,
    distances_to_means,
    unknown_answers,
)

MIN_IMAGES = 200  # for validation
MIN_BEYOND = 10  # validation images beyond the limit: on fewer it does not rest
MOST_MEASURED = 10_000  # training images for means and deviations
MIN_MEASURED = 10  # of each class, where it has so many
SILENT = 1e-3  # of the largest deviation: features that vary less count as if they varied so much
DIGITS = 4  # of each number in a card


def measure_unknown(model: BlockNet, dataset: Dataset, share: float) -> Unknown | None:
    """The rule of a model that was trained on a dataset, both of which were checked before; see `pick_unknown`."""
    assert dataset.val is not None
    labels = dataset.train.labels.numpy()
    chosen = measured_positions(labels, dataset.num_classes)
    images = chosen_of(dataset.train.images, torch.from_numpy(chosen))  # on the disk, where they all are
    shown = {"mean": dataset.mean, "std": dataset.std}
    train = predict_features(model, images, **shown).features.numpy()
    held_out = predict_features(model, dataset.val.images, **shown).features.numpy()
    return pick_unknown(train, labels[chosen], held_out, share=share)


def check_images(dataset: Dataset, share: float) -> None:
    """DataError where `measure_unknown` would have too few validation images, or none of a class to train on."""
    _check_num_images(0 if dataset.val is None else len(dataset.val), share)
    sizes = np.bincount(dataset.train.labels.numpy(), minlength=dataset.num_classes)
    if sizes.min() == 0:
        raise DataError(
            f"unknown is {share}, but class {dataset.class_names[int(sizes.argmin())]!r} has no training images to be "
            "near to",
            hint='give it some, leave the class out, or set unknown = "off"',
        )


def check_network(model: nn.Module, *, num_classes: int) -> None:
    """ConfigError where the answer of such a network cannot be unknown."""
    if architecture_of_model(model) is None:
        raise ConfigError(
            f"the answer of this model cannot be {UNKNOWN!r}, which is judged by the last maps of a network of blocks",
            hint='set unknown = "off", or choose such a network (thumb-*, sprint, ...)',
        )
    assert isinstance(model, BlockNet)
    _check_num_values(num_classes=num_classes, num_features=model.head.in_features)


def measured_positions(labels: Int64[np.ndarray, " n"], num_classes: int) -> Int64[np.ndarray, " m"]:
    """Which training images means and deviations are measured on: the first ones in the order of calibration, and of
    each class its first ones, so that none is without."""
    order = calibration_order(len(labels))
    in_order = labels[order]
    of_classes = [order[in_order == label][:MIN_MEASURED] for label in range(num_classes)]
    return np.unique(np.concatenate([order[:MOST_MEASURED], *of_classes]))


def pick_unknown(
    train: Float[np.ndarray, "n d"],
    labels: Int64[np.ndarray, " n"],
    held_out: Float[np.ndarray, "m d"],
    *,
    share: float,
) -> Unknown | None:
    """The distance beyond which a fraction `share` of the images lies that the model was not trained on. None where the
    features are not finite, the same for all images of a class, or beyond what a card holds: those of a training that
    failed.

    Args:
        train: features of training images, with their labels: 0, 1 and so on, none left out.
        held_out: features of validation images. The limit lies midway between the distances of two of them, so that
            rounding in an export moves none.

    Raises:
        DataError, ConfigError: as `check_images` and `check_network`.
    """
    classes = np.unique(labels)
    if classes.tolist() != list(range(len(classes))):
        raise DataError("a class has no training images", hint="give some of each class")
    _check_num_images(len(held_out), share)
    _check_num_values(num_classes=len(classes), num_features=train.shape[1])
    if not (np.isfinite(train).all() and np.isfinite(held_out).all()):
        return None
    exact = train.astype(np.float64)
    means = np.stack([exact[labels == label].mean(axis=0) for label in classes])
    deviations = np.sqrt(((exact - means[labels]) ** 2).mean(axis=0))
    if deviations.max() == 0:
        return None
    deviations = np.maximum(deviations, SILENT * deviations.max())
    means, deviations = _rounded(means), _rounded(deviations)
    distances = distances_to_means(held_out, means, deviations)
    num_known = len(distances) - round(share * len(distances))
    ordered = np.sort(distances)
    limit = float(ordered[num_known - 1] + ordered[num_known]) / 2
    rule = Unknown(tuple(map(tuple, means.tolist())), tuple(deviations.tolist()), limit, share, len(held_out), 0)
    num_unknown = int(unknown_answers(rule, distances).sum())
    rule = replace(rule, num_unknown=num_unknown)
    is_possible = not contradiction_of_unknown(rule, num_classes=len(means), num_features=len(deviations))
    return rule if is_possible else None


def with_unknown(evaluation: Evaluation, model: nn.Module, dataset: Dataset, unknown: Unknown | None) -> Evaluation:
    """The evaluation of a model on a split of the dataset with this rule and the distances of its images; without the
    rule as it was."""
    if unknown is None:
        return evaluation
    assert isinstance(model, BlockNet)
    images = dataset.split(evaluation.split).images
    features = predict_features(model, images, mean=dataset.mean, std=dataset.std).features.numpy()
    return replace(evaluation, unknown=unknown, distances=distances_by(unknown, features))


def when_known(evaluation: Evaluation) -> Refusals | None:
    """How a model whose answer may be unknown does on a split; None of others."""
    if evaluation.unknown is None or evaluation.distances is None:
        return None
    is_unknown = unknown_answers(evaluation.unknown, evaluation.distances)
    right = (evaluation.predictions.predicted == evaluation.predictions.labels).numpy()
    return refusals(is_unknown, right)


def _check_num_images(num_held_out: int, share: float) -> None:
    needed = max(MIN_IMAGES, math.ceil(MIN_BEYOND / share))
    if num_held_out < needed:
        raise DataError(
            f"unknown is {share}, which is judged on {needed:,} or more validation images, but {num_held_out:,} are "
            "held out",
            hint='set val_fraction higher, unknown higher, or unknown = "off"',
        )


def _check_num_values(*, num_classes: int, num_features: int) -> None:
    if num_classes * num_features > MOST_VALUES:
        raise ConfigError(
            f"{UNKNOWN!r} needs the means of {num_classes:,} classes in {num_features:,} features, and a card takes "
            f"{MOST_VALUES:,} numbers",
            hint='train with fewer classes, a network whose last block is narrower, or unknown = "off"',
        )


def _rounded(values: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    """As they stand in a card, so that the limit is of these."""
    rounded: Float[np.ndarray, "..."] = np.array([float(f"{value:.{DIGITS}g}") for value in values.ravel()])
    return rounded.reshape(values.shape)
