"""The command that trains the same again: a recipe's name and what a run's config has that the recipe has not."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from typing import Any

from thumbnet.config import TrainConfig, config_to_dict
from thumbnet.data.dataset import Dataset
from thumbnet.data.statistics import ChannelStatistics, channel_statistics
from thumbnet.errors import ConfigError
from thumbnet.recipes import load_recipe
from thumbnet.runs.resolve import resolve_config

OPTIONS = (
    "data",
    "model",
    "init",
    "teacher",
    "exclude",
    "epochs",
    "batch_size",
    "lr",
    "seed",
)  # fields with an option of their own
OF_THE_MACHINE = ("data_dir", "device")  # fields that another machine has its own of
WITH_CONFIG = "thumbnet train --recipe config.toml"


def reproducing_command(config: TrainConfig, dataset: Dataset) -> str:
    """The command that trains as the resolved `config` says, on another machine too.

    It is WITH_CONFIG, the run's own config.toml as the recipe, where its recipe is not one of thumbnet's, or options
    cannot say what it changed.
    """
    try:
        recipe = load_recipe(config.recipe)
    except ConfigError:  # a file of the user's own
        return WITH_CONFIG
    computed = channel_statistics(dataset.train.images)
    changes = _changes(config, _as_in(recipe, config, dataset, computed))
    options = {name: changes.pop(name) for name in OPTIONS if name in changes}
    settings = [setting for name, value in changes.items() for setting in _settings(name, value)]
    for _ in range(2):  # a second time, since with another optimizer, say, the recipe's momentum goes
        try:
            again = load_recipe(config.recipe, options=options, settings=settings)
        except ConfigError:
            return WITH_CONFIG
        missing = _changes(config, _as_in(again, config, dataset, computed))
        settings += [setting for name, value in missing.items() for setting in _settings(name, value)]
    if missing:
        return WITH_CONFIG
    words = ["thumbnet", "train", "--recipe", config.recipe, "--data", config.data]
    for name, value in options.items():
        words += [f"--{name.replace('_', '-')}", str(value)]
    if config.allow_unverified:
        words.append("--allow-unverified")
    for setting in settings:
        words += ["--set", setting]
    return shlex.join(words)


def _as_in(recipe: TrainConfig, config: TrainConfig, dataset: Dataset, computed: ChannelStatistics) -> TrainConfig:
    """The recipe resolved on the run's data, as on the run's machine; `computed` are of the training images."""
    statistics: dict[str, Any] = {}
    if recipe.mean is not None and len(recipe.mean) == dataset.num_channels:
        statistics = {"mean": recipe.mean, "std": recipe.std}
    elif recipe.init is None:
        statistics = {"mean": computed.mean, "std": computed.std}
    resolved = resolve_config(
        recipe.replace(
            data=config.data,
            data_dir=config.data_dir,
            device=config.engine.device,
            allow_unverified=config.allow_unverified,
        ),
        dataset,
    )
    return resolved.replace(**statistics)


def _changes(config: TrainConfig, recipe: TrainConfig) -> dict[str, Any]:
    """The fields in which a config differs from a recipe, by the config's values."""
    ours, theirs = config_to_dict(config), config_to_dict(recipe)
    names = [name for name in {**ours, **theirs} if name not in OF_THE_MACHINE]
    return {name: ours.get(name) for name in names if ours.get(name) != theirs.get(name)}


def _settings(name: str, value: Any) -> list[str]:
    """KEY=VALUE as `--set` takes it; JSON's texts, numbers, truth values and lists are TOML's, too."""
    if value is None:
        return []
    if isinstance(value, Mapping):
        return [setting for key, inner in value.items() for setting in _settings(f"{name}.{key}", inner)]
    return [f"{name}={json.dumps(value)}"]
