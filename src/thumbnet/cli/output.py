"""Files that a verb writes because it was asked to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from thumbnet.errors import ConfigError


def write_file(name: str, write: Callable[[Path], None], *, tell: bool = True) -> None:
    """Let `write` make the file, and `tell` its name on stdout; ConfigError where it cannot be written."""
    try:
        write(Path(name))
    except OSError as error:
        raise ConfigError(
            f"{name} cannot be written: {error}", hint="name a file in a folder that you may write"
        ) from error
    if tell:
        print(name)
