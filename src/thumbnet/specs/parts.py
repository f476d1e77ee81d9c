"""The values that a recipe's fields make up beside its own: which field is of which, and back to fields."""

from __future__ import annotations

from collections.abc import Mapping

from thumbnet.errors import ConfigError
from thumbnet.specs.checks import did_you_mean, shown
from thumbnet.specs.decisions import Decisions
from thumbnet.specs.division import Division
from thumbnet.specs.engine import Engine
from thumbnet.specs.inputs import Inputs
from thumbnet.specs.objective import Objective
from thumbnet.specs.optimizers import OPTIMIZERS, Optimizer
from thumbnet.specs.plain import Value, field_names, to_plain
from thumbnet.specs.registry import Registry
from thumbnet.specs.schedules import SCHEDULES, Schedule
from thumbnet.specs.stopping import Stopping

NAMED: dict[str, Registry[type[Optimizer]] | Registry[type[Schedule]]] = {
    "optimizer": OPTIMIZERS,
    "schedule": SCHEDULES,
}
UNNAMED: dict[
    str, type[Stopping] | type[Division] | type[Inputs] | type[Objective] | type[Decisions] | type[Engine]
] = {
    "stopping": Stopping,
    "division": Division,
    "inputs": Inputs,
    "objective": Objective,
    "decisions": Decisions,
    "engine": Engine,
}
PARTS = (Optimizer, Schedule, Stopping, Division, Inputs, Objective, Decisions, Engine)


def flat(name: str, value: object) -> dict[str, object]:
    """The fields of one of a config's values that are not None, after its name if it is one of several kinds."""
    assert isinstance(value, PARTS)
    fields = {each: inner for each, inner in to_plain(value).items() if inner is not None}
    if name not in NAMED:
        return fields
    called = next((registered for registered in NAMED[name] if NAMED[name][registered] is type(value)), None)
    if called is None:
        raise ConfigError(f"{value} is of no registered {name}", hint=f"register it with thumbnet.register_{name}")
    return {name: called, **fields}


def owners_of(whole: type[Value], kinds: Mapping[str, type[Value]]) -> dict[str, str]:
    """Which of a config's values each field is of, "" for its own; ConfigError where two have one of the same name."""
    owners = dict.fromkeys((name for name in field_names(whole) if name not in UNNAMED), "")
    for name, kind in kinds.items():
        for each in field_names(kind):
            if each in owners:
                other = kinds.get(owners[each], whole)
                raise ConfigError(
                    f"both {kind.__name__} and {other.__name__} have a field {each!r}", hint="give one another name"
                )
            owners[each] = name
    return owners


def check_foreign(name: str, value: object, values: Mapping[str, object], owners: Mapping[str, str]) -> None:
    """Refuse a field that none of the config's values has; one of another optimizer or schedule may say that it is off,
    since runs before 2026-11-28 kept these."""
    for kind_name, registry in NAMED.items():
        having = [key for key, kind in registry.without_packages().items() if name in field_names(kind)]
        if having:
            if value is False or value == 0:
                return
            raise ConfigError(
                f"{name} is given, but {kind_name} is {values[kind_name]!r}, which has no such field",
                hint=f"leave {name} out, or set {kind_name} = {having[0]!r}",
            )
    guess = did_you_mean(name, owners)
    hint = (
        f"{guess}docs/guides/recipes.md explains all fields" if guess else f"the fields are {', '.join(sorted(owners))}"
    )
    raise ConfigError(f"unknown field {shown(name)}", hint=hint)


def named_as(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise ConfigError(f"{name} is {shown(value)}", hint=f"{name} is one of {', '.join(NAMED[name])}")
    return value
