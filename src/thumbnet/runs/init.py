"""Initial weights: those of another trained model, under a new head."""

from __future__ import annotations

import json
from pathlib import Path

from torch import nn

from thumbnet.config import TrainConfig
from thumbnet.data.dataset import Dataset
from thumbnet.errors import ConfigError
from thumbnet.models.pretrained import list_pretrained
from thumbnet.models.registry import resolved_options
from thumbnet.models.weights import load_all_but_head
from thumbnet.runs.run import load_run
from thumbnet.trained.model import TrainedModel, load_pretrained


def load_init(init: str) -> TrainedModel:
    """The trained model that `init` names: one that comes with the package, or a finished run's."""
    if init in list_pretrained():
        return load_pretrained(init)
    if not Path(init).is_dir():
        raise ConfigError(
            f"init is {init!r}, which is neither a pretrained model nor a folder",
            hint=f"choose one of {', '.join(list_pretrained())}, or give a run's folder",
        )
    return load_run(init)


def begin_with_trained_weights(model: nn.Module, config: TrainConfig, dataset: Dataset) -> None:
    """Put the weights that `config.init` names in `model`, whose head stays new; without `init`, nothing is done.

    Raises:
        ConfigError: they are of another model, one with other options, or for another number of channels.
    """
    if config.init is None:
        return
    trained = load_init(config.init)
    known, wanted = (trained.card.model, trained.card.image_shape[0]), (config.model, dataset.num_channels)
    if known != wanted:
        raise ConfigError(
            f"init is of model {known[0]} for {known[1]} channels, but this is {wanted[0]} for {wanted[1]}",
            hint="give --model the model of the trained weights, and images with as many channels",
        )
    known_options = resolved_options(config.model, trained.card.model_options)
    wanted_options = resolved_options(config.model, config.model_options)
    if known_options != wanted_options:
        settings = " ".join(f"--set model_options.{name}={json.dumps(value)}" for name, value in known_options.items())
        raise ConfigError(
            f"init is of a {config.model} with the options {known_options}, but this is one with {wanted_options}",
            hint=f"make the same network: {settings}",
        )
    load_all_but_head(model, trained.model.state_dict())
