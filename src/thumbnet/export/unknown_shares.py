"""Whether what was exported calls the same pictures "unknown" as the model does. Without PyTorch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool

from thumbnet.errors import ExportError
from thumbnet.export.request import LEAST_AGREEMENT, CheckImages
from thumbnet.models.unknown import UNKNOWN, unknown_answers


@dataclass(frozen=True)
class UnknownShares:
    """Of some images: the fractions that are unknown, to what was exported and to the original, and on which both
    agree."""

    description: str
    agreement: float
    share: float
    original_share: float

    def __str__(self) -> str:
        return (
            f"{self.agreement:.2%} of {self.description}, of which {self.share:.2%} are unknown (float: "
            f"{self.original_share:.2%})"
        )


def unknown_shares(images: CheckImages, is_unknown: Bool[np.ndarray, " n"]) -> UnknownShares | None:
    """The answers of what was exported against those of the original; None for a model that is never unknown."""
    if images.unknown is None or images.distances is None:
        return None
    original = unknown_answers(images.unknown, images.distances)
    return UnknownShares(
        images.description, float((original == is_unknown).mean()), float(is_unknown.mean()), float(original.mean())
    )


def refuse_other_unknown(shares: UnknownShares | None, *, how: str, max_drop: float | None, instead: str) -> None:
    """ExportError where too many images are unknown to one of both only; `how` is what the export computes in."""
    if shares is None or 1 - shares.agreement <= max(1 - LEAST_AGREEMENT, max_drop or 0):
        return
    raise ExportError(
        f"in {how} only {shares.agreement:.0%} of {shares.description} are {UNKNOWN!r}, or not, as they are to "
        f"the model, expected at least {LEAST_AGREEMENT:.0%}; {shares.share:.1%} are, and to the model "
        f"{shares.original_share:.1%}",
        hint=f"allow more with --max-drop, or {instead}",
    )
