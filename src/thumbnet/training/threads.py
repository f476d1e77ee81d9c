"""How many threads PyTorch and our kernels compute with while a training lasts."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ParamSpec, TypeVar

import torch

from thumbnet.config import TrainConfig
from thumbnet.specs.engine import Engine
from thumbnet.training.ranks import SharedEngine

P = ParamSpec("P")
R = TypeVar("R")


@contextmanager
def computing_with(threads: int | None) -> Iterator[None]:
    """While this lasts, this thread's tensors are computed by so many threads; None: by as many as before."""
    before = torch.get_num_threads()
    if threads is None or threads == before:
        yield
        return
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def obeys_threads(function: Callable[P, R]) -> Callable[P, R]:
    """For a function that is given a config first, or an `engine` by its name: all that it does obeys its `threads`."""

    @functools.wraps(function)
    def with_threads(*args: P.args, **kwargs: P.kwargs) -> R:
        config, engine = args[0] if args else kwargs.get("config"), kwargs.get("engine")
        if isinstance(config, TrainConfig):
            engine = config.engine
        elif isinstance(engine, SharedEngine):
            engine = engine.engine
        with computing_with(engine.threads if isinstance(engine, Engine) else None):
            return function(*args, **kwargs)

    return with_threads
