"""The rule of minutes with other numbers, for a while."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from thumbnet.runs.choices import augmentation as augmentation_choice
from thumbnet.runs.planning import choose, constants  # noqa: F401  # all of the rule's modules are imported by choose
from tuning.candidates import SETTINGS, Changes

PLACES = ("thumbnet.runs.planning.", "thumbnet.runs.choices.augmentation", "tuning.")


@contextmanager
def changed(changes: Changes) -> Iterator[None]:
    """Every module of the rule that has a number by its name has the changed one; SystemExit for one that none has."""
    values = {name: value for name, value in changes.items() if name != SETTINGS and "." not in name}
    fields = {name: value for name, value in changes.items() if "." in name}
    if fields:
        values["LADDER"] = _ladder(fields)
    kept: list[tuple[ModuleType, str, Any]] = []
    try:
        for name, value in values.items():
            if not hasattr(constants, name) and not hasattr(augmentation_choice, name):
                raise SystemExit(f"{name} is no number of the rule")
            for module in _modules():
                if name in vars(module):
                    kept.append((module, name, getattr(module, name)))
                    setattr(module, name, value)
        yield
    finally:
        for module, name, value in reversed(kept):
            setattr(module, name, value)


def _ladder(fields: Changes) -> tuple[constants.Rung, ...]:
    rungs = {rung.recipe: rung for rung in constants.LADDER}
    for path, value in fields.items():
        recipe, name = path.rsplit(".", 1)
        rungs[recipe] = dataclasses.replace(rungs[recipe], **{name: value})
    return tuple(rungs.values())


def _modules() -> list[ModuleType]:
    return [module for name, module in list(sys.modules.items()) if name.startswith(PLACES)]
