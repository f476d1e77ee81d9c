"""Whether the C program calls the same pictures "unknown" as the model does. Without PyTorch."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Int32

from thumbnet.errors import ExportError
from thumbnet.export.c.far import far_error
from thumbnet.export.c.fixed_point import FixedProgram
from thumbnet.export.c.names import markdown_text
from thumbnet.export.request import LEAST_AGREEMENT, CheckImages
from thumbnet.models.unknown import UNKNOWN, unknown_answers


@dataclass(frozen=True)
class UnknownShares:
    """Of some images: the fractions that are unknown, to the program and to the original, and on which both agree."""

    description: str
    agreement: float
    share: float
    original_share: float

    def __str__(self) -> str:
        return (
            f"{self.agreement:.2%} of {self.description}, of which {self.share:.2%} are unknown (float: "
            f"{self.original_share:.2%})"
        )


def is_far(program: FixedProgram, answers: Int32[np.ndarray, " n"]) -> Bool[np.ndarray, " n"]:
    """Which of the program's answers are "unknown"."""
    found: Bool[np.ndarray, " n"] = answers == program.num_classes + 1
    return found


def unknown_shares(images: CheckImages, is_unknown: Bool[np.ndarray, " n"]) -> UnknownShares | None:
    """The program's answers against those of the original; None for a model that is never unknown."""
    if images.unknown is None or images.distances is None:
        return None
    original = unknown_answers(images.unknown, images.distances)
    return UnknownShares(
        images.description, float((original == is_unknown).mean()), float(is_unknown.mean()), float(original.mean())
    )


def refuse_other_unknown(shares: UnknownShares | None, *, max_drop: float | None, instead: str) -> None:
    """ExportError where too many images are unknown to one of both only."""
    if shares is None or 1 - shares.agreement <= max(1 - LEAST_AGREEMENT, max_drop or 0):
        return
    raise ExportError(
        f"in whole numbers only {shares.agreement:.0%} of {shares.description} are {UNKNOWN!r}, or not, as they are to "
        f"the model, expected at least {LEAST_AGREEMENT:.0%}; {shares.share:.1%} are, and to the model "
        f"{shares.original_share:.1%}",
        hint=f"allow more with --max-drop, or {instead}",
    )


def unknown_rows(program: FixedProgram, shares: UnknownShares | None) -> dict[str, str]:
    """Rows of the edge card in Markdown, for a program whose answer may be unknown."""
    if program.far is None:
        return {}
    rows = {"rounding of a distance": f"at most {far_error(program):.2g} deviations, beside that of the maps"}
    if shares is None:
        return rows
    named = replace(shares, description=markdown_text(shares.description))
    return {f"same {UNKNOWN!r} as the float model": str(named), **rows}
