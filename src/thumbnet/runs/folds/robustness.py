"""Accuracy under corruptions of a folder of folds: what each fold measured, pooled."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from thumbnet.evaluation.pooled_robustness import mean_over_seeds, pooled_over_images, with_common_rows
from thumbnet.evaluation.robustness import Robustness
from thumbnet.runs.run import RunDir, read_robustness
from thumbnet.views.report.robustness_section import ONLY_COMMON


def robustness_of_folds(folders: Sequence[Path], *, num_seeds: int) -> tuple[Robustness | None, str]:
    """The robustness of all folds that measured it, and a note on how it came about; None where none did, or where they
    have no corruption in common. `folders` are those of the runs, fold by fold, and in each seed by seed."""
    stored = [read_robustness(RunDir(folder)) for folder in folders]
    of_folds = [
        [each for each in stored[first : first + num_seeds] if each is not None]
        for first in range(0, len(stored), num_seeds)
    ]
    measured = [each for fold in of_folds if len(fold) == num_seeds for each in fold]
    common = with_common_rows(measured)
    if not common:
        return None, ""
    means = [mean_over_seeds(common[first : first + num_seeds]) for first in range(0, len(common), num_seeds)]
    pooled = pooled_over_images(means)
    folds = f"{len(of_folds)} folds"
    if len(means) < len(of_folds):
        folds = f"{len(means)} of {folds}, those that measured it"
    seeds = f"; means over {num_seeds} seeds" if num_seeds > 1 else ""
    sentences = [f"Pooled over {folds}: each model on test images of its own, weighted by their number{seeds}."]
    if pooled.balanced_accuracy is not None:
        sentences.append("Balanced accuracy is the mean of that of the folds, so weighted.")
    if any(len(each.rows) > len(pooled.rows) for each in measured):
        sentences.append(ONLY_COMMON)
    return pooled, " ".join(sentences)
