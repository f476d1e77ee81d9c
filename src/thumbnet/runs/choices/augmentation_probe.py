"""The short training by which an augmentation is chosen: on images that are only shifted."""

from __future__ import annotations

import dataclasses
import math

from torch import nn

from thumbnet.config import TrainConfig
from thumbnet.data.batches import num_batches
from thumbnet.data.dataset import Dataset
from thumbnet.runs.init import begin_with_trained_weights
from thumbnet.runs.parts import build_model, fit_config
from thumbnet.runs.planning.apply import as_rung
from thumbnet.runs.planning.constants import LADDER, MIN_GROWING_SIDE, SCALE_STARTS, SCALES
from thumbnet.specs.policies import AUTO
from thumbnet.training.progress import Silent

PROBE_SHARE = 0.1  # of the epochs
PROBE_STEPS, MOST_PROBE_STEPS = 100, 400  # at least, where the training has so many, and at most
PROBE_POLICY = "shift2-flip"


def without_open_policy(config: TrainConfig) -> TrainConfig:
    """The config with the short training's policy in the place of one that is still to be chosen, so that it can be
    checked and measured before."""
    return config.replace(augmentation=PROBE_POLICY) if config.inputs.augmentation == AUTO else config


def has_own_probe(config: TrainConfig) -> bool:
    """Whether the short training is of the config's own network, since that begins with trained weights."""
    return config.init is not None


def grows_in_probe(sides: tuple[int, ...]) -> bool:
    """Whether images of such height and width begin small in the short training."""
    return min(sides) >= MIN_GROWING_SIDE


def short_training(config: TrainConfig, dataset: Dataset, *, most_steps: int | None) -> TrainConfig:
    """A training, in steps, for a part of the config's epochs, on images that are only shifted."""
    num_epochs, grows = config.epochs, not has_own_probe(config) and grows_in_probe(dataset.image_shape[1:])
    config = config if has_own_probe(config) else as_rung(config, LADDER[0], dataset)
    steps_per_epoch = num_batches(len(dataset.train), config.batch_size)
    wanted = max(1, round(PROBE_SHARE * num_epochs), math.ceil(PROBE_STEPS / steps_per_epoch))
    inputs = dataclasses.replace(
        config.inputs,
        augmentation=PROBE_POLICY,
        flip=False,
        alternating_flip=False,
        scales=SCALES if grows else (1.0,),
        scale_starts=SCALE_STARTS if grows else (0.0,),
    )
    steps = min(min(wanted, num_epochs) * steps_per_epoch, MOST_PROBE_STEPS)
    return config.replace(
        inputs=inputs,
        epochs=None,
        steps=steps if most_steps is None else max(1, min(steps, most_steps)),
        pace_starts=None,
        pace_steps=None,
        average_decay=0.0,
    )


def train_probe(short: TrainConfig, dataset: Dataset) -> nn.Module:
    """The model that a short training makes."""
    model = build_model(short, dataset)
    begin_with_trained_weights(model, short, dataset)
    fit_config(short, dataset, model, progress=Silent())
    return model
