"""The command that trains the same again: a recipe's name and the difference of what was asked for to it."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping

from thumbnet.config import TrainConfig, config_to_dict
from thumbnet.errors import ConfigError
from thumbnet.models.registry import resolved_options
from thumbnet.recipes import load_recipe
from thumbnet.runs.settings import differences
from thumbnet.specs.code_reference import GIVEN, own_code_of

OPTIONS = (
    "model",
    "init",
    "teacher",
    "exclude",
    "groups",
    "epochs",
    "batch_size",
    "lr",
    "seed",
    "threads",
    "threshold",
    "recall",
    "positive",
)  # that the command has by name
PATHS = ("init", "teacher", "exclude")  # that a resolved config has in full
RECIPE_FROM_CONFIG = "thumbnet train --recipe config.toml"
PYTHON_FROM_CONFIG = 'thumbnet.train(thumbnet.load_recipe("config.toml"), '  # followed by what was given in Python


def reproducing_command(config: TrainConfig, asked: TrainConfig | None, *, sides: tuple[int, int]) -> str:
    """The command that trains again what `config`, resolved from `asked`, has trained, on another machine too.

    It is RECIPE_FROM_CONFIG, the run's own config.toml as the recipe, if the recipe is not one of thumbnet's, if
    options cannot express what was changed, if minutes were asked for, which other machines and moments make other
    steps of, if a dataset was given that had been read otherwise than `asked` says, or if `asked` is None: an earlier
    version did not keep it. `sides` are the height and width of the images, by which the command will choose a
    network's stem.
    """
    if own_code_of(config.model, config.inputs.augmentation):
        return _command_with_code(config)
    if asked is None or asked.minutes is not None or own_code_of(asked.model, asked.inputs.augmentation):
        return RECIPE_FROM_CONFIG
    if asked.image_size not in ("auto", config.image_size) or asked.skip_unreadable != config.skip_unreadable:
        return RECIPE_FROM_CONFIG  # a dataset was given that had been read so
    would_be = resolved_options(asked.model, asked.model_options, sides=sides)
    if would_be != resolved_options(config.model, config.model_options):
        return RECIPE_FROM_CONFIG  # a default of the model may have changed since
    resolved = config_to_dict(config)
    paths = (*PATHS, "groups") if config.division.names_a_file else PATHS
    wanted = {name: resolved.get(name) if name in paths else value for name, value in config_to_dict(asked).items()}
    wanted = {name: value for name, value in wanted.items() if value is not None}  # as of init, if that was auto
    options: dict[str, object] = {}
    settings: list[str] = []
    for _ in range(3):  # another optimizer takes the recipe's momentum with it, which is then set again
        try:
            changes = differences(wanted, config_to_dict(load_recipe(asked.recipe, options=options, settings=settings)))
        except ConfigError:  # a file of the user's own, or nothing that options can express
            return RECIPE_FROM_CONFIG
        if not changes:
            break
        options |= {} if settings or options else {name: changes.pop(name) for name in OPTIONS if name in changes}
        settings += [setting for name, value in changes.items() for setting in _settings(name, value)]
    if changes:
        return RECIPE_FROM_CONFIG
    words = ["thumbnet", "train", "--recipe", asked.recipe, "--data", config.data]
    for name, value in options.items():
        words += [f"--{name.replace('_', '-')}", str(value)]
    if config.allow_unverified:
        words.append("--allow-unverified")
    for setting in settings:
        words += ["--set", setting]
    return shlex.join(words)


def _command_with_code(config: TrainConfig) -> str:
    """The same for a run with code of the user's own: it has copies of files, not of what was given in Python."""
    parts = {"model": config.model, "augmentation": config.inputs.augmentation}
    given = [name for name, value in parts.items() if isinstance(value, str) and value.startswith(GIVEN)]
    values = ", ".join(f"{name}=..." for name in given)
    return f"{PYTHON_FROM_CONFIG}{values})" if given else f"{RECIPE_FROM_CONFIG} --trust-code"


def _settings(name: str, value: object) -> list[str]:
    """KEY=VALUE as `--set` takes it; JSON's texts, numbers, truth values and lists are TOML's, too."""
    if value is None:
        return []
    if isinstance(value, Mapping):
        keys = {key: f'"{key}"' if "." in key or "=" in key else key for key in value}  # as a class may be called
        return [setting for key, inner in value.items() for setting in _settings(f"{name}.{keys[key]}", inner)]
    return [f"{name}={json.dumps(value)}"]
