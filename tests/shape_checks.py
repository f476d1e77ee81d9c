"""What checks annotations under test: beartype, taking an int where a float is expected, as PEP 484 does.

Where a signature has no shapes, beartype alone checks it, that of a dataclass too. Where it has some, jaxtyping
compares them in a context of the call: its own decorator, which binds the arguments and checks them twice, is left for
what beartype cannot read, and for generators, which run when the call is over. A function within a function is defined
anew at each call of the outer one, and checked only where it has shapes.
"""

from __future__ import annotations

import builtins
import enum
import functools
import inspect
import re
import types
from collections.abc import Callable
from typing import Any, get_args

import jaxtyping
from beartype import BeartypeConf, beartype

check = beartype(
    conf=BeartypeConf(is_pep484_tower=True, violation_type=TypeError)
)  # as Python has for a wrong argument
jaxtyped = jaxtyping.jaxtyped
RUN_LATER = inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR


class Shapes(enum.Enum):
    """Whether a signature has array types with shapes."""

    NONE = enum.auto()
    SOME = enum.auto()
    UNCLEAR = enum.auto()  # a name is not defined yet, or an argument is part of a shape


def decorate(*, typechecker: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """What the import hook puts above every function and class, in place of `jaxtyping.jaxtyped`."""

    def decorated(thing: Any) -> Any:
        if isinstance(thing, types.FunctionType):
            return _checked(thing, typechecker)
        if isinstance(thing, type) and "__dataclass_fields__" in vars(thing):
            init = vars(thing).get("__init__")
            if isinstance(init, types.FunctionType) and not hasattr(init, "__wrapped__"):  # else it is checked already
                thing.__init__ = _checked(init, typechecker)  # type: ignore[misc]
        return thing

    return decorated


def _checked(function: types.FunctionType, typechecker: Callable[[Any], Any]) -> Callable[..., Any]:
    shapes = _shapes_of(function)
    if shapes is Shapes.NONE:
        return function if "<locals>" in function.__qualname__ else check(function)
    if shapes is Shapes.UNCLEAR or function.__code__.co_flags & RUN_LATER:
        return jaxtyped(typechecker=typechecker)(function)
    checked = check(function)

    @functools.wraps(function)
    def compared(*args: Any, **kwargs: Any) -> Any:
        with jaxtyped("context"):
            return checked(*args, **kwargs)

    return compared


def _shapes_of(function: types.FunctionType) -> Shapes:
    scope = {**vars(builtins), **function.__globals__}
    found = Shapes.NONE
    for annotation in function.__annotations__.values():
        if not isinstance(annotation, str):
            values = [annotation]
        else:
            names = re.findall(r"(?<![\w.])[A-Za-z_]\w*", re.sub(r"\"[^\"]*\"|'[^']*'", "", annotation))
            if "{" in annotation or any(name not in scope for name in names):
                return Shapes.UNCLEAR
            values = [scope[name] for name in names]
        if any(map(_is_of_jaxtyping, values)):
            found = Shapes.SOME
    return found


def _is_of_jaxtyping(value: object) -> bool:
    return getattr(value, "__module__", "") == "jaxtyping" or any(map(_is_of_jaxtyping, get_args(value)))
