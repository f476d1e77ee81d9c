"""Initial weights: those of another trained model, under a new head."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from torch import nn

from thumbnet.config import AUTO_INIT, Option, TrainConfig
from thumbnet.data.dataset import Dataset
from thumbnet.errors import ConfigError, RunError
from thumbnet.models.architecture import STEMS, parse_stem, stem_for
from thumbnet.models.blocknet import BlockNet, architecture_of_model
from thumbnet.models.channels import statistics_for, weights_for
from thumbnet.models.pretrained import list_pretrained
from thumbnet.models.registry import resolved_options
from thumbnet.models.trunk import is_stem_kept, load_trunk, num_blocks_before
from thumbnet.models.weights import load_all_but_head
from thumbnet.runs.run import load_run
from thumbnet.runs.which import is_pretrained_name
from thumbnet.specs.code_reference import reference_of
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

    A network of blocks may have another stem, and blocks before the trained ones: see models/trunk.py. Images may be
    grey where the weights know colour, or the other way round: see models/channels.py.

    The config is resolved: a run's folder is a whole path, so a mere name is a trained model of the package.

    Raises:
        ConfigError: they are of another model, or one with other options.
    """
    if config.init is None:
        return
    if config.init == AUTO_INIT:
        raise ConfigError(
            f"init is {AUTO_INIT!r}, and only `train` chooses what to begin with", hint="name the weights to begin with"
        )
    trained = load_pretrained(config.init) if config.init in list_pretrained() else load_trained(config.init)
    card = trained.card
    if not _is_same_model(card.model, config.model):
        raise ConfigError(
            f"init is of model {card.model}, but this is {config.model}",
            hint="give --model the model of the trained weights",
        )
    weights = trained.model.state_dict()
    is_as_coloured = card.image_shape[0] == dataset.num_channels
    if not is_as_coloured:
        weights = weights_for(weights, model.state_dict(), std_before=card.std, std_after=dataset.std)
    known_options = resolved_options(config.model, card.model_options)
    wanted_options = resolved_options(config.model, config.model_options)
    has_trunk = _has_trained_trunk(model, trained.model)
    if known_options == wanted_options and (is_as_coloured or not has_trunk):
        load_all_but_head(model, weights)
    elif has_trunk and _without_stem(known_options) == _without_stem(wanted_options):
        assert isinstance(model, BlockNet)
        assert isinstance(trained.model, BlockNet)
        if not is_stem_kept(model, trained.model):
            init_model_from_data(model, dataset, seed=config.seed)
        load_trunk(model, trained.model, weights)
    else:
        settings = " ".join(f"--set model_options.{name}={json.dumps(value)}" for name, value in known_options.items())
        raise ConfigError(
            f"init is of a {config.model} with the options {known_options}, but this is one with {wanted_options}",
            hint=f"make the same network: {settings}",
        )


def with_statistics_of_weights(config: TrainConfig, dataset: Dataset) -> tuple[TrainConfig, str]:
    """The config, which has `init`, with the mean and deviation by which its weights know images, unless it has its
    own; and a sentence for people where colour becomes grey or the other way round, else an empty one."""
    assert config.init is not None
    card = load_trained(config.init).card
    mean, std = statistics_for(card.mean, card.std, num_channels=dataset.num_channels)
    if config.mean is None:
        config = config.replace(mean=mean, std=std)
    if card.image_shape[0] == dataset.num_channels:
        return config, ""
    assert config.mean is not None
    shown = ", ".join(f"{value:.3f}" for value in config.mean)
    begins = f"The weights of {config.init} (init) are of images"
    if dataset.num_channels == 1:
        how = "in colour, and these are grey: the first filters are summed over the channels"
    else:
        how = "in grey, and these are in colour: the first filters are shared out over the channels"
    return config, f"{begins} {how}; pixels are normalised with the mean {shown}."


def options_to_train(config: TrainConfig, *, sides: tuple[int, int], num_channels: int) -> dict[str, Option]:
    """All options of the config's model, for images of such height and width with so many channels.

    A stem chosen by these is that of the weights to begin with where images of their size usually have the same one;
    else it gives as many channels as theirs. If it is another, it is trained where it strides, since filters spread
    over more pixels see no detail at first, or where filters of grey images are now of colour ones, since they see no
    colour at first.
    """
    options = resolved_options(config.model, config.model_options, sides=sides)
    if config.init in (None, AUTO_INIT) or config.model not in STEMS or "stem" in config.model_options:
        return options
    assert config.init is not None
    card = load_trained(config.init).card
    has_blocks_given = "blocks" in config.model_options  # with which runs of before had the usual stem
    if card.model != config.model or (has_blocks_given and card.image_shape[0] == num_channels):
        return options
    known = resolved_options(config.model, card.model_options)
    usual, theirs = str(options["stem"]), str(known["stem"])
    if usual == stem_for(config.model, card.image_shape[1:])[0]:
        usual = theirs.removesuffix("t")
    options["stem"] = _stem_for_weights(
        usual,
        theirs,
        channels=(num_channels, card.image_shape[0]),
        keeps_width=options["blocks"] == known["blocks"],
    )
    return options


def _stem_for_weights(usual: str, trained: str, *, channels: tuple[int, int], keeps_width: bool) -> str:
    """The stem for trained weights.

    Args:
        usual: the one for images of this size; `trained`: that of the weights.
        channels: of the images, and of those that the weights are of.
        keeps_width: whether it must give as many channels as the trained one.
    """
    first, theirs = parse_stem(usual), parse_stem(trained)
    width = theirs.num_channels(channels[1])
    if keeps_width and first.channels is None and first.num_channels(channels[0]) != width:
        usual += f"c{width}"
    is_same = (first.patch, first.stride) == (theirs.patch, theirs.stride)
    is_moved = first.stride > 1 and (theirs.trains or not is_same)
    return f"{usual}t" if is_moved or channels[0] > channels[1] else usual


def _has_trained_trunk(model: nn.Module, trained: nn.Module) -> bool:
    """Whether a network's last blocks are those of a trained one."""
    networks = (model, trained)
    are_blocks = all(isinstance(each, BlockNet) and architecture_of_model(each) is not None for each in networks)
    return are_blocks and num_blocks_before(*networks) is not None  # type: ignore[arg-type]


def _without_stem(options: Mapping[str, Option]) -> dict[str, Option]:
    return {name: value for name, value in options.items() if name not in ("stem", "blocks")}
