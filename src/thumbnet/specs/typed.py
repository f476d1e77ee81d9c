"""Dataclasses from plain values: every field in its type, defaults for what is missing, what is unknown ignored."""

from __future__ import annotations

import dataclasses
import math
import types
from collections.abc import Mapping
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

from thumbnet.specs.checks import shown
from thumbnet.specs.json_text import HINT, damaged
from thumbnet.specs.plain import field_types

T = TypeVar("T")


def from_fields(cls: type[T], values: object, *, name: str, hint: str = HINT) -> T:
    """A dataclass whose fields are given by `values`, an object of a JSON text.

    Fields may be texts (of a few choices, if it is a Literal), numbers (finite), truth values, None, and tuples,
    mappings, unions and dataclasses of them.

    Raises:
        RunError: a field is missing or of another type; it names the file `name`.
    """
    try:
        typed = _typed(cls, values, "")
    except _WrongValueError as error:
        raise damaged(name, error, hint=hint) from error
    assert isinstance(typed, cls)
    return typed


class _WrongValueError(Exception):
    """A value that is not of its field's type."""


def _typed(cls: type[Any], values: object, where: str) -> object:
    if not isinstance(values, Mapping):
        raise _WrongValueError(f"{where or 'it'} is {shown(values)}, not an object")
    hints = field_types(cls)  # type: ignore[arg-type]  # every class has a hash
    given: dict[str, Any] = {}
    for field in dataclasses.fields(cls):
        key = f"{where}.{field.name}" if where else field.name
        if field.name in values:
            given[field.name] = _checked(values[field.name], hints[field.name], key)
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise _WrongValueError(f"{key} is missing")
    return cls(**given)


def _checked(value: Any, hint: Any, key: str) -> Any:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (types.UnionType, Union):
        for argument in arguments:
            try:
                return _checked(value, argument, key)
            except _WrongValueError:
                continue
    elif origin is tuple and isinstance(value, (list, tuple)):
        if len(arguments) == 2 and arguments[1] is Ellipsis:
            arguments = (arguments[0],) * len(value)
        if len(arguments) == len(value):
            pairs = enumerate(zip(value, arguments, strict=True))
            return tuple(_checked(item, each, f"{key}.{index}") for index, (item, each) in pairs)
    elif origin is Mapping and isinstance(value, Mapping):
        if all(isinstance(name, str) for name in value):
            return {name: _checked(item, arguments[1], f"{key}.{name}") for name, item in value.items()}
    elif hint is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        if abs(value) < 1e300 and math.isfinite(value):
            return float(value)
    elif origin is Literal and isinstance(value, str):
        if value in arguments:
            return value
    elif hint in (int, str, bool, types.NoneType):
        if type(value) is hint:
            return value
    elif dataclasses.is_dataclass(hint):
        return _typed(hint, value, key)  # type: ignore[arg-type]  # a class, since it comes from a field's type
    raise _WrongValueError(f"{key} is {shown(value)}")
