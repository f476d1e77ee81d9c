"""Initial weights: those of another trained model, under a new head."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from torch import nn

from thumbnet.config import Option, TrainConfig
from thumbnet.data.dataset import Dataset
from thumbnet.errors import ConfigError, RunError
from thumbnet.models.architecture import STEMS, parse_stem
from thumbnet.models.blocknet import BlockNet, architecture_of_model
from thumbnet.models.pretrained import list_pretrained
from thumbnet.models.registry import resolved_options
from thumbnet.models.trunk import is_stem_kept, load_trunk, num_blocks_before
from thumbnet.models.weights import load_all_but_head
from thumbnet.runs.run import load_run
from thumbnet.runs.which import is_pretrained_name
from thumbnet.specs.own_code import reference_of
from thumbnet.trained.model import TrainedModel, load_pretrained
from thumbnet.training.inputs import init_model_from_data


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


def _is_same_model(known: str, wanted: str) -> bool:
    """By name; of code of the user's own, whatever else was changed in its file."""
    references = reference_of(known), reference_of(wanted)
    if references[0] is None or references[1] is None:
        return known == wanted
    return (references[0].file, references[0].name) == (references[1].file, references[1].name)


def begin_with_trained_weights(model: nn.Module, config: TrainConfig, dataset: Dataset) -> None:
    """Put the weights that `config.init` names in `model`, whose head stays new; without `init`, nothing is done.

    A network of blocks may have another stem, and blocks before the trained ones: see models/trunk.py.

    The config is resolved: a run's folder is a whole path, so a mere name is a trained model of the package.

    Raises:
        ConfigError: they are of another model, one with other options, or for another number of channels.
    """
    if config.init is None:
        return
    trained = load_pretrained(config.init) if config.init in list_pretrained() else load_trained(config.init)
    known, wanted = (trained.card.model, trained.card.image_shape[0]), (config.model, dataset.num_channels)
    if known[1] != wanted[1] or not _is_same_model(*known[:1], *wanted[:1]):
        raise ConfigError(
            f"init is of model {known[0]} for {known[1]} channels, but this is {wanted[0]} for {wanted[1]}",
            hint="give --model the model of the trained weights, and images with as many channels",
        )
    known_options = resolved_options(config.model, trained.card.model_options)
    wanted_options = resolved_options(config.model, config.model_options)
    if known_options == wanted_options:
        load_all_but_head(model, trained.model.state_dict())
    elif _has_trained_trunk(model, trained.model) and _without_stem(known_options) == _without_stem(wanted_options):
        assert isinstance(model, BlockNet)
        assert isinstance(trained.model, BlockNet)
        if not is_stem_kept(model, trained.model):
            init_model_from_data(model, dataset, seed=config.seed)
        load_trunk(model, trained.model)
    else:
        settings = " ".join(f"--set model_options.{name}={json.dumps(value)}" for name, value in known_options.items())
        raise ConfigError(
            f"init is of a {config.model} with the options {known_options}, but this is one with {wanted_options}",
            hint=f"make the same network: {settings}",
        )


def options_to_train(config: TrainConfig, *, sides: tuple[int, int]) -> dict[str, Option]:
    """All options of the config's model, for images of such height and width.

    A stem chosen by these that is not that of the weights to begin with is trained where it strides: filters spread
    over more pixels see no detail at first.
    """
    options = resolved_options(config.model, config.model_options, sides=sides)
    stem = options.get("stem")
    is_chosen = config.model in STEMS and not {"stem", "blocks"} & config.model_options.keys()
    if config.init is None or not is_chosen or parse_stem(str(stem)).stride == 1:
        return options
    card = load_trained(config.init).card
    if card.model == config.model:
        trained_stem = resolved_options(config.model, card.model_options)["stem"]
        options["stem"] = f"{stem}t" if trained_stem not in (stem, f"{stem}t") else trained_stem
    return options


def _has_trained_trunk(model: nn.Module, trained: nn.Module) -> bool:
    """Whether a network's last blocks are those of a trained one."""
    networks = (model, trained)
    are_blocks = all(isinstance(each, BlockNet) and architecture_of_model(each) is not None for each in networks)
    return are_blocks and num_blocks_before(*networks) is not None  # type: ignore[arg-type]


def _without_stem(options: Mapping[str, Option]) -> dict[str, Option]:
    return {name: value for name, value in options.items() if name not in ("stem", "blocks")}
