"""What checks annotations under test: beartype, taking an int where a float is expected, as PEP 484 does.

jaxtyping wraps each function three times to compare the shapes in its signature, at each call. Where a signature has
none, beartype alone checks it: a tenth of the suite's time. A function within a function is defined anew at each call
of the outer one, and checked only where it has shapes.
"""

from __future__ import annotations

import re
import types
from collections.abc import Callable, Mapping
from typing import Any, get_args

import jaxtyping
from beartype import BeartypeConf, beartype

check = beartype(conf=BeartypeConf(is_pep484_tower=True))
compare_shapes = jaxtyping.jaxtyped


def decorate(*, typechecker: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """What the import hook puts above every function and class, in place of `jaxtyping.jaxtyped`."""

    def decorated(thing: Any) -> Any:
        if not isinstance(thing, types.FunctionType) or has_shapes(thing):
            return compare_shapes(typechecker=typechecker)(thing)
        return thing if "<locals>" in thing.__qualname__ else check(thing)

    return decorated


def has_shapes(function: types.FunctionType) -> bool:
    """Whether an annotation is, or holds, an array type with a shape."""
    return any(_names_shapes(annotation, function.__globals__) for annotation in function.__annotations__.values())


def _names_shapes(annotation: object, scope: Mapping[str, object]) -> bool:
    if not isinstance(annotation, str):
        return _is_of_jaxtyping(annotation)
    return any(_is_of_jaxtyping(scope.get(name)) for name in re.findall(r"\w+", annotation))


def _is_of_jaxtyping(value: object) -> bool:
    return getattr(value, "__module__", "") == "jaxtyping" or any(map(_is_of_jaxtyping, get_args(value)))
