"""What checks annotations under test: beartype, taking an int where a float is expected, as PEP 484 does.

jaxtyping wraps each function three times to compare the shapes in its signature, at each call. Where a signature has
none, beartype alone checks it: that saves a fifth of the suite's time. A function within a function is defined anew at
each call of the outer one, and checked only where it has shapes.
"""

from __future__ import annotations

import builtins
import re
import types
from collections.abc import Callable
from typing import Any, get_args

import jaxtyping
from beartype import BeartypeConf, beartype

check = beartype(
    conf=BeartypeConf(is_pep484_tower=True, violation_type=TypeError)
)  # as Python has for a wrong argument
compare_shapes = jaxtyping.jaxtyped


def decorate(*, typechecker: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """What the import hook puts above every function and class, in place of `jaxtyping.jaxtyped`."""

    def decorated(thing: Any) -> Any:
        if not isinstance(thing, types.FunctionType) or _may_have_shapes(thing):
            return compare_shapes(typechecker=typechecker)(thing)
        return thing if "<locals>" in thing.__qualname__ else check(thing)

    return decorated


def _may_have_shapes(function: types.FunctionType) -> bool:
    """Whether an annotation is, or holds, an array type with a shape, or a name that is not defined yet."""
    scope = {**vars(builtins), **function.__globals__}
    for annotation in function.__annotations__.values():
        if not isinstance(annotation, str):
            values = [annotation]
        else:
            names = re.findall(r"(?<![\w.])[A-Za-z_]\w*", re.sub(r"\"[^\"]*\"|'[^']*'", "", annotation))
            if any(name not in scope for name in names):
                return True
            values = [scope[name] for name in names]
        if any(map(_is_of_jaxtyping, values)):
            return True
    return False


def _is_of_jaxtyping(value: object) -> bool:
    return getattr(value, "__module__", "") == "jaxtyping" or any(map(_is_of_jaxtyping, get_args(value)))
