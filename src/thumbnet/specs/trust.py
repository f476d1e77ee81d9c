"""Whether code that runs keep may be executed: only where the user allowed it (`trust_code`)."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

TRUST_HINT = "read the file, and if you trust it, give --trust-code (trust_code=True in Python)"

_trusted: ContextVar[bool] = ContextVar("trusted", default=False)


def is_trusted() -> bool:
    """Whether code of runs may be executed now."""
    return _trusted.get()


@contextmanager
def trusting(trust_code: bool) -> Iterator[None]:
    """Whether code of runs may be executed while this lasts; once it is allowed, it is inside, too."""
    token = _trusted.set(trust_code or _trusted.get())
    try:
        yield
    finally:
        _trusted.reset(token)


def takes_trust(function: Callable[P, R]) -> Callable[P, R]:
    """For a function with an argument `trust_code`, which then holds for all that it does."""

    @functools.wraps(function)
    def with_trust(*args: P.args, **kwargs: P.kwargs) -> R:
        with trusting(kwargs.get("trust_code") is True):
            return function(*args, **kwargs)

    return with_trust
