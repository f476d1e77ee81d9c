"""An epoch's line in the history: what was measured while it was trained, and the scores after it."""

from __future__ import annotations

from collections.abc import Mapping

from thumbnet.training.history import EpochRecord
from thumbnet.training.progress import StepReport
from thumbnet.training.result import Scores


def record_of(
    epoch: int, lr: float, trained: StepReport, scores: Mapping[str, Scores], *, setup_s: float
) -> EpochRecord:
    """An epoch's line in the history; `setup_s` are the seconds before the first one."""
    val, test = scores.get("val"), scores.get("test")
    return EpochRecord(
        epoch=epoch,
        lr=lr,
        train_loss=trained.mean_loss,
        train_accuracy=trained.accuracy,
        val_loss=None if val is None else val.loss,
        val_accuracy=None if val is None else val.accuracy,
        test_loss=None if test is None else test.loss,
        test_accuracy=None if test is None else test.accuracy,
        train_s=trained.num_images / trained.images_per_s + setup_s,
        images_per_s=trained.images_per_s,
        objective=trained.objective,
        train_balanced_accuracy=trained.balanced_accuracy,
        val_balanced_accuracy=_balanced_accuracy(val),
        test_balanced_accuracy=_balanced_accuracy(test),
    )


def _balanced_accuracy(score: Scores | None) -> float | None:
    """That of a score which has one, as `Evaluation` does."""
    value = getattr(score, "balanced_accuracy", None)
    return value if isinstance(value, float) else None
