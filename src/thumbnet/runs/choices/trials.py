"""Short trainings before the training itself, by which something is chosen on validation images."""

from __future__ import annotations

import math

from torch import nn

from thumbnet.config import TrainConfig
from thumbnet.data.batches import num_batches
from thumbnet.data.dataset import Dataset
from thumbnet.runs.init import begin_with_trained_weights
from thumbnet.runs.parts import build_model, fit_config
from thumbnet.training.progress import Silent

TRIAL_SHARE = 0.1  # of the epochs
TRIAL_STEPS = 100  # at least, where the training has so many


def trial_steps(config: TrainConfig, num_train: int, *, most_steps: int | None = None) -> int:
    """The steps of a trial for the training of a resolved config, at most `most_steps`."""
    steps_per_epoch = num_batches(num_train, config.batch_size)
    wanted = max(1, round(TRIAL_SHARE * config.epochs), math.ceil(TRIAL_STEPS / steps_per_epoch))
    steps = min(wanted, config.epochs) * steps_per_epoch
    return steps if most_steps is None else max(1, min(steps, most_steps))


def train_shortly(config: TrainConfig, dataset: Dataset, *, steps: int) -> nn.Module:
    """A model that was trained for so many steps, the whole course of rates and sizes in them."""
    short = config.replace(epochs=None, steps=steps, pace_starts=None, pace_steps=None, average_decay=0.0)
    model = build_model(short, dataset)
    begin_with_trained_weights(model, short, dataset)
    fit_config(short, dataset, model, progress=Silent())
    return model
