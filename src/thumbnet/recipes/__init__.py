"""Named recipes: TOML files in this folder. Each opens with comments, its promise: what it reaches, and how to check.

A recipe is found by name, or by the path of a file of the user's own; options given on top of it win. A file of the
user's own may say only what it changes of another recipe: its `base`, which is the default recipe where it names
neither a base nor a model.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

from thumbnet.config import DEFAULT_OPTIMIZER, TrainConfig, config_from_dict, config_to_dict
from thumbnet.errors import ConfigError
from thumbnet.specs.checks import did_you_mean, shown
from thumbnet.specs.code_reference import reference_of
from thumbnet.specs.length import LENGTHS
from thumbnet.specs.optimizers import OPTIMIZERS
from thumbnet.specs.own_code import COPY, allow_from_run
from thumbnet.specs.plain import field_names
from thumbnet.specs.renamed import with_todays_names
from thumbnet.specs.schedules import SCHEDULES
from thumbnet.specs.toml_text import parse_setting, parse_toml
from thumbnet.specs.trust import takes_trust

DEFAULT_RECIPE = "sprint"
PLANNED_RECIPE = "auto"  # what `train --minutes` takes, and `train` for images of the user's own
OF_STEPS = ("steps", "pace_starts", "pace_steps")
# Where one is given that is not the recipe's, these of the recipe's own fields go with it, and so do those of another
# optimizer (except its lr) or schedule.
DEPENDENT_FIELDS = {
    "model": ("model_options", "init", "body_lr_factor"),
    "init": ("mean", "std"),  # the images are normalised as the weights know them
    "epochs": ("min_steps", "minutes", "planned", *OF_STEPS),  # and of two lengths the one that is given holds
    "steps": ("min_steps", "minutes", "planned", "epochs", *OF_STEPS),
    "minutes": ("min_steps", "epochs", *OF_STEPS),
    "threshold": ("recall", "costs"),
    "recall": ("threshold", "costs"),
    "costs": ("threshold", "recall"),
}


@dataclass(frozen=True)
class RecipeInfo:
    """A line of `thumbnet recipes`: name, model, epochs (0 where it is planned by minutes), and the promise that the
    file opens with."""

    name: str
    model: str
    epochs: int
    promise: str
    minutes: float | None = None


def list_recipes() -> list[str]:
    """The names that `load_recipe` takes."""
    return sorted(file.name.removesuffix(".toml") for file in _folder() if file.name.endswith(".toml"))


def describe_recipes() -> list[RecipeInfo]:
    """Every recipe with its promise."""
    infos = []
    for name in list_recipes():
        config = load_recipe(name)
        infos.append(RecipeInfo(name, config.model, config.epochs, _promise(_read(name)), config.minutes))
    return infos


@takes_trust
def load_recipe(
    recipe: str = DEFAULT_RECIPE,
    *,
    settings: Sequence[str] = (),
    options: Mapping[str, object] | None = None,
    trust_code: bool = False,
) -> TrainConfig:
    """A recipe by name or file, with changes applied: `options` by field, then `settings` as KEY=VALUE texts.

    Args:
        trust_code: execute the user's own code that a run keeps, where the recipe is that run's config.toml.

    Raises:
        ConfigError: no such recipe, or a field is unknown, wrongly typed or contradicts another.
        RunError: the recipe is that of a run with code of the user's own, which is not trusted.
    """
    given = [{name: value} for name, value in (options or {}).items()]
    given += [parse_setting(setting) for setting in settings]
    if any("base" in change for change in given):
        raise ConfigError(
            "base is given as an option, but it is a key of recipe files", hint="name the recipe: --recipe"
        )
    values = {"recipe": Path(recipe).stem, **_values_of(recipe)}
    _change(values, given)
    return config_from_dict(values)


def with_changes(config: TrainConfig, changes: Sequence[Mapping[str, object]]) -> TrainConfig:
    """A recipe that was loaded, with more options on top, as `load_recipe` would have applied them.

    Raises:
        ConfigError: a field is unknown, wrongly typed or contradicts another.
    """
    values = copy.deepcopy(config_to_dict(config))  # of which tables are changed in place
    _change(values, changes)
    return config_from_dict(values)


def _values_of(recipe: str, chain: tuple[str, ...] = ()) -> dict[str, object]:
    """The fields of a recipe, whole: a file that changes another one is put on top of that.

    Args:
        recipe: a name or a path.
        chain: the files that are being read, of which each has the next one as its base, and the last one this recipe.
    """
    values = with_todays_names(parse_toml(_read(recipe), name=f"recipe {recipe}"))
    for name in ("model", "augmentation"):
        if name in values:
            values[name] = _found_beside(recipe, values[name])
    is_own = recipe not in list_recipes()
    base = values.pop("base", None if "model" in values or not is_own else DEFAULT_RECIPE)
    if base is None:
        return {"optimizer": DEFAULT_OPTIMIZER, **values}
    if not isinstance(base, str):
        raise ConfigError(f"base is {shown(base)} in recipe {recipe}", hint="name a recipe, or a .toml file")
    chain = (*chain, str(Path(recipe).resolve()))
    if base not in list_recipes() and Path(base).suffix == ".toml":
        base = str(Path(recipe).parent / base)  # beside the file that names it
        if str(Path(base).resolve()) in chain:
            raise ConfigError(f"the recipe {recipe} is a change of itself, by base", hint="name another base")
    whole = _values_of(base, chain)
    whole.pop("recipe", None)  # the name of what was changed
    _change(whole, [{name: value} for name, value in values.items()])
    return whole


def _change(values: dict[str, object], given: Sequence[Mapping[str, object]]) -> None:
    """Put the given fields on top of a recipe's, of which those that go with a changed one are dropped."""
    given = [with_todays_names(change) for change in given]
    last = {name: value for change in given for name, value in change.items()}
    for name, dependent in [*DEPENDENT_FIELDS.items(), *_fields_of_values(values)]:
        if name in last and (name in LENGTHS or last[name] != values.get(name)):  # so many epochs, and no more
            for stale in dependent:
                values.pop(stale, None)
    for change in given:
        _merge(values, change)
    if "planned" in values and "planned" not in last:
        values["planned"] = _still_planned(values["planned"], last)


def _still_planned(planned: object, given: Mapping[str, object]) -> object:
    """The fields that a recipe leaves to a plan, without those that are given and those that go with them."""
    if not isinstance(planned, list):
        return planned  # refused by its type
    kept = set(given)
    if "optimizer" in given:
        kept.update(name for kind in OPTIMIZERS.values() for name in field_names(kind))
    if "scales" in given or "scale_starts" in given:
        kept |= {"scales", "scale_starts"}
    return [name for name in planned if name not in kept]


def _found_beside(recipe: str, name: object) -> object:
    """A reference to code with the path of its file, which may lie beside the recipe's own; of a run's config.toml, its
    copy is executed, if that is trusted."""
    reference = reference_of(name) if isinstance(name, str) else None
    if reference is None:
        return name
    folder = Path(recipe).parent
    if reference.digits:
        allow_from_run(str(reference), lambda file: _read_copy(folder / f"{COPY}{file}"), run=folder)
        return name
    beside = folder / reference.file
    return f"{beside}:{reference.name}" if beside.is_file() else name


def _read_copy(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}", hint="give the config.toml in its run") from error


def _fields_of_values(values: Mapping[str, object]) -> list[tuple[str, tuple[str, ...]]]:
    """The fields of a recipe's optimizer and schedule, which go with it where another one is given."""
    optimizer, schedule = str(values["optimizer"]), str(values.get("schedule"))
    of_optimizer = field_names(OPTIMIZERS[optimizer]) if optimizer in OPTIMIZERS else ()
    of_schedule = field_names(SCHEDULES[schedule]) if schedule in SCHEDULES else ()
    return [("optimizer", tuple(name for name in of_optimizer if name != "lr")), ("schedule", of_schedule)]


def _merge(values: dict[str, object], change: Mapping[str, object]) -> None:
    for name, value in change.items():
        inner = values.get(name)
        if isinstance(value, Mapping) and isinstance(inner, dict):
            _merge(inner, value)
        else:
            values[name] = value


def _read(recipe: str) -> str:
    if recipe in list_recipes():
        return (resources.files("thumbnet.recipes") / f"{recipe}.toml").read_text(encoding="utf-8")
    path = Path(recipe)
    if path.suffix != ".toml":
        names = list_recipes()
        hint = f"{did_you_mean(recipe, names)}choose one of {', '.join(names)}, or give a .toml file"
        raise ConfigError(f"unknown recipe {recipe!r}", hint=hint)
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"the recipe file {recipe} cannot be read: {error}", hint="check the path") from error


def _promise(text: str) -> str:
    """The comment lines that a recipe opens with, as one text."""
    lines = []
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.removeprefix("#").strip())
    return "\n".join(lines).strip()


def _folder() -> list[Traversable]:
    return list(resources.files("thumbnet.recipes").iterdir())
