"""Figures by their names in results and in metrics.json: which values they can have, which are shown as per cent, and
where balanced accuracy must stand beside the accuracy."""

from __future__ import annotations

import math

PER_CENT = frozenset(
    {"accuracy", "top2_accuracy", "balanced_accuracy", "macro_f1", "micro_f1", "hamming_loss"}
    | {"tta_accuracy", "tta_balanced_accuracy"}
    | {"calibration_error", "calibration_error_at_temperature"}
    | {"share_unsure", "accuracy_when_sure", "share_unknown", "accuracy_when_known"}
)
AREAS = frozenset({"auc", "average_precision", "mean_average_precision", "tta_mean_average_precision"})
EQUAL = 0.02  # accuracy and balanced accuracy that are no further apart are shown as one
RANGES = {"mcc": (-1.0, 1.0), "loss": (0.0, math.inf)} | dict.fromkeys(PER_CENT | AREAS, (0.0, 1.0))


def is_of_per_cent(name: str) -> bool:
    """Whether a figure of this name is a fraction that people are shown as per cent; a metric of the user's own is
    not."""
    return _bare(name) in PER_CENT


def range_of(name: str) -> tuple[float, float]:
    """The lowest and the highest value that a figure of this name can have; of a metric of the user's own, any."""
    return RANGES.get(_bare(name), (-math.inf, math.inf))


def are_apart(accuracy: float | None, balanced: float | None) -> bool:
    """Whether balanced accuracy is another number, by more than chance makes it with equal classes; not where one of
    them is not known."""
    return accuracy is not None and balanced is not None and abs(balanced - accuracy) > EQUAL


def is_other_number(accuracy: float | None, balanced: float | None, *, decimals: int = 2) -> bool:
    """Whether people, who are shown both as per cent, see another number; not where one of them is not known."""
    if accuracy is None or balanced is None:
        return False
    return f"{accuracy:.{decimals}%}" != f"{balanced:.{decimals}%}"


def or_balanced(accuracy: float | None, balanced: float | None, *, decimals: int = 2) -> str:
    """What follows an accuracy in a sentence: the balanced accuracy, where it is another number; else nothing."""
    if not is_other_number(accuracy, balanced, decimals=decimals):
        return ""
    return f", balanced accuracy {balanced:.{decimals}%}"


def _bare(name: str) -> str:
    """Without what metrics.json adds: which split it is of, and that images are left out."""
    return name.removeprefix("test_").removesuffix("_without_leaks")
