"""How recipes and runs of earlier versions are read: names that fields had before, and fields that were not there."""

from __future__ import annotations

from collections.abc import Mapping

from thumbnet.errors import ConfigError

TODAYS_NAME = {"vector_lr": "bias_lr", "vector_momentum": "bias_momentum"}  # since 2026-11-28

# What runs trained with before there was the field, where that is not today's default. A run's config holds all fields
# of its time, so one that is absent is younger than the run; those that are None are left out, so none of these may be.
# Runs on a folder did not look at a labels.csv in it.
OF_OLD_RUNS: dict[str, object] = {
    "scale_pixels": False,
    "border": "policy",
    "report_robustness": False,
    "unsure": "off",
    "shuffle": "whole",
}


def with_todays_names(values: Mapping[str, object]) -> dict[str, object]:
    """The same fields by today's names; ConfigError where one is given by both its names."""
    renamed: dict[str, object] = {}
    for name, value in values.items():
        todays = TODAYS_NAME.get(name, name)
        if todays in renamed:
            raise ConfigError(f"{todays} is given twice, once by its old name", hint=f"leave {todays} or {name} out")
        renamed[todays] = value
    return renamed


def with_values_of_old_runs(values: Mapping[str, object]) -> dict[str, object]:
    """The fields of a run's own config by today's names, with those that its version had not yet."""
    is_folder = str(values.get("data", "")).startswith("folder:")
    return {**OF_OLD_RUNS, **({"labels": "folders"} if is_folder else {}), **with_todays_names(values)}
