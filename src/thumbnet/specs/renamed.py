"""Names that recipes and runs had before; they are read as those of today."""

from __future__ import annotations

from collections.abc import Mapping

from thumbnet.errors import ConfigError

TODAYS_NAME = {"vector_lr": "bias_lr", "vector_momentum": "bias_momentum"}  # since 2026-11-28


def with_todays_names(values: Mapping[str, object]) -> dict[str, object]:
    """The same fields by today's names; ConfigError where one is given by both its names."""
    renamed: dict[str, object] = {}
    for name, value in values.items():
        todays = TODAYS_NAME.get(name, name)
        if todays in renamed:
            raise ConfigError(f"{todays} is given twice, once by its old name", hint=f"leave {todays} or {name} out")
        renamed[todays] = value
    return renamed
