"""JSON as the package writes and reads it: one object, no NaN or infinity, with the number of its format.

A file without a number has format 1, as all had before there were numbers. Within one format fields may be added: a
reader has a default for what is missing and ignores what it does not know. The number rises when that is not enough.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from thumbnet.errors import RunError

FORMAT = "format"
MOST_DIGITS = 300  # of a whole number, so that it is a finite number everywhere
HINT = "restore it from a copy, or train again"


def damaged(name: str, reason: object, *, hint: str = HINT) -> RunError:
    """The error of a file, called `name`, that cannot be what the package wrote."""
    return RunError(f"{name} is damaged: {reason}", hint=hint)


def to_json(values: Mapping[str, Any], *, name: str, indent: int | None = None) -> str:
    """The values as JSON text; RunError, which names the value, where a number is not finite."""
    try:
        return json.dumps(values, indent=indent, allow_nan=False)
    except ValueError as error:
        key, number = next(_not_finite(values, ""), ("a value", str(error)))
        raise RunError(
            f"{name} is not written: {key} is {number}, which is not finite",
            hint="train again with a lower rate, or measure again",
        ) from error


def read_object(text: bytes | str, *, name: str, known_format: int, hint: str = HINT) -> dict[str, Any]:
    """The one object in a JSON text.

    Args:
        name: of the file, for errors.
        known_format: the highest number of its format that this version can read.

    Raises:
        RunError: it is damaged, or was written in a later format.
    """
    try:
        values = json.loads(text, parse_constant=_refuse, parse_float=_finite, parse_int=_whole)
        json.dumps(values, ensure_ascii=False).encode()  # half a character, as \ud800 is, cannot be written anywhere
    except (ValueError, RecursionError) as error:
        raise damaged(name, str(error)[:200], hint=hint) from error
    if not isinstance(values, dict):
        raise damaged(name, "it holds no object", hint=hint)
    check_format(values.get(FORMAT, 1), name=name, known_format=known_format, hint=hint)
    return values


def check_format(number: object, *, name: str, known_format: int, hint: str = HINT) -> int:
    """The number of a file's format; RunError where it is none, or that of a later version."""
    if type(number) is not int or number < 1:
        raise damaged(name, f"its format is {number!r}", hint=hint)
    if number > known_format:
        raise RunError(
            f"{name} was written by a later version of thumbnet: its format is {number}, and this one knows 1 to "
            f"{known_format}",
            hint="update thumbnet",
        )
    return number


def _refuse(constant: str) -> float:
    raise ValueError(f"it holds {constant}")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"it holds {text[:20]}")
    return number


def _whole(text: str) -> int:
    if len(text) > MOST_DIGITS:
        raise ValueError(f"it holds {text[:20]}...")
    return int(text)


def _not_finite(values: object, key: str) -> Any:
    """The keys (as a.b.0) and values of all numbers within that are not finite."""
    if isinstance(values, float) and not math.isfinite(values):
        yield key, values
    elif isinstance(values, Mapping):
        for name, value in values.items():
            yield from _not_finite(value, f"{key}.{name}" if key else str(name))
    elif isinstance(values, (list, tuple)):
        for index, value in enumerate(values):
            yield from _not_finite(value, f"{key}.{index}")
