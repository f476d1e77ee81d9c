"""Values from plain ones, as TOML gives them, and back: fields are found by their names and checked by their types."""

from __future__ import annotations

import dataclasses
import functools
import types
import typing
from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal, TypeAlias, TypeVar, get_args, get_origin, get_type_hints

from thumbnet.errors import ConfigError
from thumbnet.specs.checks import did_you_mean, shown

MAX_INTEGER = 2**64 - 1  # of whole numbers in any field
WORDS: dict[object, str] = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}
LISTS: dict[object, str] = {int: "a list of whole numbers", float: "a list of numbers", str: "a list of texts"}

if TYPE_CHECKING:
    from _typeshed import DataclassInstance  # any dataclass

    Value: TypeAlias = DataclassInstance
else:
    Value = object

V = TypeVar("V", bound=Value)


def field_names(kind: type[Value]) -> tuple[str, ...]:
    """The names of a dataclass's fields, in their order."""
    return tuple(item.name for item in dataclasses.fields(kind))


@functools.cache
def field_types(kind: type[Value]) -> Mapping[str, object]:
    """The types of a dataclass's fields by name: read once, which takes longer than to check values by them."""
    return get_type_hints(kind)


def missing_fields(kind: type[Value], given: Mapping[str, object]) -> list[str]:
    """The fields that have no default and are not given."""
    return [
        item.name
        for item in dataclasses.fields(kind)
        if item.name not in given
        and item.default is dataclasses.MISSING
        and item.default_factory is dataclasses.MISSING
    ]


def from_plain(kind: type[V], given: Mapping[str, object], *, made: Mapping[str, object] | None = None) -> V:
    """A value of this dataclass from plain values of its fields, and from fields that are `made` already.

    Raises:
        ConfigError: a plain value has the wrong type.
    """
    hints = field_types(kind)
    fields = {name: checked(name, value, hints[name]) for name, value in given.items()}
    return kind(**{**fields, **(made or {})})


def to_plain(value: Value) -> dict[str, object]:
    """The fields of a dataclass by name."""
    return {name: getattr(value, name) for name in field_names(type(value))}


def checked(name: str, value: object, hint: object) -> object:
    """The value in the field's type (an integer where a fraction is expected is fine), or ConfigError."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (types.UnionType, typing.Union):
        return _checked_union(name, value, [arm for arm in arguments if _is_plain_type(arm)])
    if origin is Literal:
        if value in arguments and isinstance(value, str):
            return value
        guess = did_you_mean(value, arguments) if isinstance(value, str) else ""
        raise ConfigError(f"{name} is {shown(value)}", hint=f"{guess}{name} is one of {', '.join(arguments)}")
    if origin is tuple:
        if isinstance(value, (list, tuple)):
            return tuple(checked(name, item, arguments[0]) for item in value)
    elif origin is Mapping:
        if isinstance(value, dict) and all(_is_plain(item) for item in value.values()):
            return value
    elif hint is float and isinstance(value, (int, float)) and not isinstance(value, bool) and _is_plain(value):
        return float(value)
    elif isinstance(hint, type) and hint in (int, str, bool) and type(value) is hint and _is_plain(value):
        return value
    expected = LISTS[arguments[0]] if origin is tuple else WORDS.get(hint, "a table of plain values")
    raise ConfigError(f"{name} is {shown(value)}", hint=f"{name} must be {expected}")


def _checked_union(name: str, value: object, arms: list[object]) -> object:
    refusals = []
    for arm in arms:
        try:
            return checked(name, value, arm)
        except ConfigError as error:
            refusals.append(error.hint)
    raise ConfigError(f"{name} is {shown(value)}", hint="; or ".join(refusals))


def _is_plain_type(hint: object) -> bool:
    """Whether plain values can be of this type, which is one of several that a field takes."""
    return hint in (int, float, str, bool) or get_origin(hint) in (Literal, tuple, Mapping)


def _is_plain(value: object) -> bool:
    """Whether TOML can hold the value: a text or a number, whole ones of at most 64 bits."""
    return isinstance(value, (str, float)) or (isinstance(value, int) and abs(value) <= MAX_INTEGER)
