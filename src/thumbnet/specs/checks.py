"""How values refuse what does not fit."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from thumbnet.errors import ConfigError

MAX_RATE = 1e30  # of learning rates and the like: beyond, products of them leave float32
MAX_SEED = 2**64 - 1  # of PyTorch's generators
MAX_IMAGE_SIZE = 2048  # pixels
MAX_CLASSES = 100_000
MAX_RUNS = 1000  # trainings that one command makes
MAX_SHOWN = 100  # characters of a wrong value in an error


def require(holds: bool, name: str, value: object, expected: str) -> None:
    """ConfigError with the name, the value and what it must be, unless `holds`."""
    if not holds:
        raise ConfigError(f"{name} is {value}", hint=f"{name} must be {expected}")


def require_rate(name: str, value: float) -> None:
    require(0 < value <= MAX_RATE, name, value, f"above 0 and at most {MAX_RATE:g}")


def require_fraction(name: str, value: float) -> None:
    require(0 <= value < 1, name, value, "at least 0 and below 1")


def require_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        guess = did_you_mean(value, choices)
        raise ConfigError(f"{name} is {value!r}", hint=f"{guess}{name} is one of {', '.join(choices)}")


def did_you_mean(name: str, choices: Iterable[str]) -> str:
    """The beginning of a hint that proposes the choice most like a wrong name; empty where none is like it."""
    near = difflib.get_close_matches(name, list(choices), n=1) if len(name) <= MAX_SHOWN else []
    return f"did you mean {near[0]!r}? " if near else ""


def require_seed(name: str, value: int) -> None:
    require(0 <= value <= MAX_SEED, name, value, "at least 0 and below 2^64")


def shown(value: object) -> str:
    """A wrong value for an error, cut where it is long."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # a number of thousands of digits, thousands of nested lists
        return "a value of thousands of digits or lists"
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]} ..."
