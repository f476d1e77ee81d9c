"""Initial weights: those of another trained model, under a new head."""

from __future__ import annotations

import json
from pathlib import Path

from torch import nn

from thumbnet.config import TrainConfig
from thumbnet.data.dataset import Dataset
from thumbnet.errors import ConfigError, RunError
from thumbnet.models.pretrained import list_pretrained
from thumbnet.models.registry import resolved_options
from thumbnet.models.weights import load_all_but_head
from thumbnet.runs.run import load_run
from thumbnet.runs.which import is_pretrained_name
from thumbnet.trained.model import TrainedModel, load_pretrained


def load_trained(run_or_name: str | Path) -> TrainedModel:
    """A finished run, by its folder, or a trained model of the package, by its name; an existing folder wins.

    Raises:
        RunError: it is neither, or the run cannot be used.
    """
    if is_pretrained_name(run_or_name):
        return load_pretrained(str(run_or_name))
    if not Path(run_or_name).is_dir():
        raise RunError(
            f"{run_or_name} is neither a run folder nor a trained model",
            hint=f"give a run's folder, or one of {', '.join(list_pretrained())}",
        )
    return load_run(run_or_name)


def begin_with_trained_weights(model: nn.Module, config: TrainConfig, dataset: Dataset) -> None:
    """Put the weights that `config.init` names in `model`, whose head stays new; without `init`, nothing is done.

    The config is resolved: a run's folder is a whole path, so a mere name is a trained model of the package.

    Raises:
        ConfigError: they are of another model, one with other options, or for another number of channels.
    """
    if config.init is None:
        return
    trained = load_pretrained(config.init) if config.init in list_pretrained() else load_trained(config.init)
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
