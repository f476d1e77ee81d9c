"""Warnings given once per process: that other kernels run than were wanted."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import torch

import thumbnet

_said: set[str] = set()
# Of thumbnet and PyTorch, and of wrappers that check types, which are made on the spot.
NOT_THE_USERS = (*(f"{Path(each.__file__ or '').parent}{os.sep}" for each in (thumbnet, torch)), "<@beartype")


def say_once(text: str, say: Callable[[str], None] | None = None) -> None:
    """Pass `text` to `say`, unless that was done before; without `say`, it is a RuntimeWarning."""
    if text in _said:
        return
    _said.add(text)
    if say is None:
        warn(text)
    else:
        say(text)


def warn(text: str) -> None:
    """A RuntimeWarning that points to the line of the user's by which it came about: neither PyTorch's nor ours."""
    level, frame = 1, sys._getframe(0)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(NOT_THE_USERS):
        level, frame = level + 1, frame.f_back
    warnings.warn(text, RuntimeWarning, stacklevel=level)
