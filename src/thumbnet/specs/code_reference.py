"""How a config names code of the user's own: `net.py:Net` as a recipe has it, `net.py:Net@1f2e3d4c5b6a` once resolved,
with the first digits of the file's SHA-256; `given:Net` is a thing that was given in Python.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

REFERENCE = re.compile(r"(?P<file>.+\.py):(?P<name>[^\W\d]\w*)(@(?P<digits>[0-9a-f]{12}))?", re.DOTALL)
GIVEN = "given:"
GIVE_AGAIN = "give it again: load_run(path, model={0}), or resume(path, model={0})"  # a model, in another process
NUM_DIGITS = 12


@dataclass(frozen=True)
class Reference:
    """A thing called `name` in a file: its path, or once resolved its name, with `digits`, which are "" before."""

    file: str
    name: str
    digits: str = ""

    def __str__(self) -> str:
        return f"{self.file}:{self.name}" + (f"@{self.digits}" if self.digits else "")


def reference_of(text: str) -> Reference | None:
    """The reference in a text; None where it is none, as the name of a model."""
    match = REFERENCE.fullmatch(text)
    return None if match is None else Reference(match["file"], match["name"], match["digits"] or "")


def is_own_code(name: object) -> bool:
    """Whether a name is that of code of the user's own, in a file or given in Python."""
    return isinstance(name, str) and (name.startswith(GIVEN) or reference_of(name) is not None)


def own_code_of(*names: object) -> tuple[str, ...]:
    """Those of the names that are of code of the user's own."""
    return tuple(name for name in names if isinstance(name, str) and is_own_code(name))
