"""How a training differs from its recipe. Without PyTorch."""

from __future__ import annotations

from collections.abc import Mapping

from thumbnet.config import TrainConfig, config_to_dict
from thumbnet.recipes import list_recipes, load_recipe
from thumbnet.specs.plain import field_names

MACHINE_FIELDS = ("data_dir", "device")  # that another machine has its own of
OF_THE_DATA = ("data", "allow_unverified")  # which recipes leave open


def changed_settings(asked: TrainConfig) -> dict[str, object]:
    """The fields in which a config differs from its recipe, by their values; where the recipe is a file of the user's,
    the fields that have not their default.

    What fell away with another field, as `min_steps` where the epochs were given, is no setting; nor are the data and
    the machine.
    """
    wanted = config_to_dict(asked)
    if asked.recipe in list_recipes():
        changes = differences(wanted, config_to_dict(load_recipe(asked.recipe)))
        return {name: value for name, value in changes.items() if value is not None}
    plainest = TrainConfig(
        recipe=asked.recipe, model=asked.model, epochs=1, optimizer=asked.optimizer, schedule=asked.schedule
    )
    without_default = {
        *("model", "epochs", "optimizer", "schedule"),
        *field_names(type(asked.optimizer)),
        *field_names(type(asked.schedule)),
    }
    defaults = {name: value for name, value in config_to_dict(plainest).items() if name not in without_default}
    return differences(wanted, defaults)


def common_settings(asked: TrainConfig) -> dict[str, object]:
    """The same of several runs of a config: without the seed, of which each run has its own."""
    return {name: value for name, value in changed_settings(asked).items() if name != "seed"}


def differences(wanted: Mapping[str, object], given: Mapping[str, object]) -> dict[str, object]:
    """The fields in which two configs differ, by the wanted values; None: a field that is not wanted."""
    names = [name for name in {**wanted, **given} if name not in (*MACHINE_FIELDS, *OF_THE_DATA)]
    return {name: wanted.get(name) for name in names if wanted.get(name) != given.get(name)}
