"""What the C program calls "unknown", and how its edge card says it. Without PyTorch."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from jaxtyping import Bool, Int32

from thumbnet.export.c.far import far_error
from thumbnet.export.c.fixed_point import FixedProgram
from thumbnet.export.c.names import markdown_text
from thumbnet.export.unknown_shares import UnknownShares
from thumbnet.models.unknown import UNKNOWN


def is_far(program: FixedProgram, answers: Int32[np.ndarray, " n"]) -> Bool[np.ndarray, " n"]:
    """Which of the program's answers are "unknown"."""
    found: Bool[np.ndarray, " n"] = answers == program.num_classes + 1
    return found


def unknown_rows(program: FixedProgram, shares: UnknownShares | None) -> dict[str, str]:
    """Rows of the edge card in Markdown, for a program whose answer may be unknown."""
    if program.far is None:
        return {}
    rows = {"rounding of a distance": f"at most {far_error(program):.2g} deviations, beside that of the maps"}
    if shares is None:
        return rows
    named = replace(shares, description=markdown_text(shares.description))
    return {f"same {UNKNOWN!r} as the float model": str(named), **rows}
