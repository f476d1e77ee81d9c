"""What a sweep's recipe and values name, the same from another working directory and at another time: whole paths, and
code of the user's own by the digits of its content."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

from thumbnet.config import TrainConfig, config_to_dict
from thumbnet.runs.resolve import resolved_init
from thumbnet.runs.sweeps.space import tried_values
from thumbnet.specs.code_reference import own_code_of, reference_of
from thumbnet.specs.own_code import resolved_reference
from thumbnet.specs.search import Dimension

CODE_FIELDS = ("model", "augmentation")
FIELDS = (*CODE_FIELDS, "init", "teacher")  # that name code or a run, and may be searched


def whole_config(config: TrainConfig, resolved: TrainConfig) -> TrainConfig:
    """The recipe as asked for, with whole paths and its code's digits, of which `resolved` is the resolved one."""
    division = config.division
    if division.names_a_file:
        division = dataclasses.replace(division, groups=resolved.division.groups)
    whole = config.replace(data=resolved.data, exclude=resolved.exclude, division=division)
    if config.data_dir is not None:
        whole = whole.replace(data_dir=resolved.data_dir)
    return with_whole_names(whole, _names(config_to_dict(whole)))


def whole_names(dimensions: Sequence[Dimension]) -> dict[str, str]:
    """What the values that are searched name, by `field=value`; code is read and executed now."""
    names: dict[str, str] = {}
    for dimension in dimensions:
        for value in tried_values(dimension):
            names |= _names(dimension.nested(value))
    return names


def with_whole_names(config: TrainConfig, names: Mapping[str, str]) -> TrainConfig:
    """A trial's config with what its values name."""
    values = config_to_dict(config)
    changes = {field: names[key] for field in FIELDS if (key := f"{field}={values.get(field)}") in names}
    return config.replace(**changes) if changes else config


def code_of(config: TrainConfig, names: Mapping[str, str]) -> tuple[str, ...]:
    """The references to code, with their digits, of a whole recipe and of the values that are searched; none of a sweep
    that an earlier version began, which kept no copies."""
    searched = [name for key, name in names.items() if key.partition("=")[0] in CODE_FIELDS]
    own = own_code_of(config.model, config.inputs.augmentation, *searched)
    return tuple(name for name in own if (reference := reference_of(name)) is not None and reference.digits)


def _names(values: Mapping[str, object]) -> dict[str, str]:
    found = {f"{field}={text}": _whole(field, text) for field in FIELDS if isinstance(text := values.get(field), str)}
    return {key: name for key, name in found.items() if key.partition("=")[2] != name}


def _whole(field: str, text: str) -> str:
    if field in CODE_FIELDS:
        return resolved_reference(text)
    return str(resolved_init(text)) if field == "init" else str(Path(text).resolve())
