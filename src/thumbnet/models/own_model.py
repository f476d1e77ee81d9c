"""A network of the user's own, from a file or given in Python, as the registry has models."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from typing import Any

from torch import nn

from thumbnet.config import Option
from thumbnet.errors import ModelError
from thumbnet.specs.own_code import thing_of

PLAIN = (bool, int, float, str)  # what a recipe can say of an option


def factory_of(name: str) -> Callable[..., nn.Module]:
    """What makes the model that a reference names.

    A class or function gets `num_classes` and `in_channels` if it takes them; its other arguments are the model's
    options, except for those whose default no recipe could hold. A module is copied, with the weights it has.

    Raises:
        ModelError: it is none of these; the errors of `thing_of`.
    """
    thing = thing_of(name)
    if isinstance(thing, nn.Module):
        return _Copies(thing)
    if not callable(thing):
        raise ModelError(f"{name} is {type(thing).__name__}", hint="name a class, or a function that returns a module")
    return _OwnFactory(thing)


class _OwnFactory:
    """A class or function called with those of the common arguments that it takes."""

    def __init__(self, thing: Callable[..., nn.Module]) -> None:
        self._thing = thing
        parameters = inspect.signature(thing).parameters.values()
        self._takes_all = any(each.kind == each.VAR_KEYWORD for each in parameters)
        named = [each for each in parameters if each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY)]
        self._names = {each.name for each in named}
        options = [each for each in named if each.default is each.empty or isinstance(each.default, PLAIN)]
        common = [inspect.Parameter(each, inspect.Parameter.KEYWORD_ONLY) for each in ("num_classes", "in_channels")]
        others = [
            each.replace(kind=each.KEYWORD_ONLY) for each in options if each.name not in ("num_classes", "in_channels")
        ]
        self.__signature__ = inspect.Signature([*common, *others])

    def __call__(self, *, num_classes: int, in_channels: int, **options: Option) -> nn.Module:
        common = {"num_classes": num_classes, "in_channels": in_channels}
        taken = common if self._takes_all else {name: value for name, value in common.items() if name in self._names}
        return self._thing(**taken, **options)

    def __getattr__(self, name: str) -> Any:  # as `min_image_size`
        return getattr(self._thing, name)


class _Copies:
    """Copies of a module, each with the weights that it had when it was given."""

    def __init__(self, module: nn.Module) -> None:
        self._module = module

    def __call__(self, *, num_classes: int, in_channels: int) -> nn.Module:
        return copy.deepcopy(self._module)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)
