"""What is said once in a process: that other kernels run than were wanted."""

from __future__ import annotations

import warnings
from collections.abc import Callable

_said: set[str] = set()


def say_once(text: str, say: Callable[[str], None] | None = None) -> None:
    """Pass `text` to `say`, unless that was done before; without `say`, it is a RuntimeWarning."""
    if text in _said:
        return
    _said.add(text)
    if say is None:
        warnings.warn(text, RuntimeWarning, stacklevel=4)
    else:
        say(text)
