"""Whose predictions `predict` prints: the model by its name, with its data, classes and accuracy. Without PyTorch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from thumbnet.evaluation.figure_names import or_balanced
from thumbnet.models.card import ModelCard
from thumbnet.runs.files.names import CONFIG, METRICS

NUM_CLASSES_NAMED = 5
RUNS = "runs"  # where `train` leaves runs
RUN_PATTERNS = ("*", "*/*")  # a run; one of several seeds or folds


@dataclass(frozen=True)
class PredictingModel:
    """A model by what the user called it: a run's folder, an exported file, or a name of the package."""

    name: str
    card: ModelCard
    comes_with_package: bool = False

    def __str__(self) -> str:
        names = self.card.class_names
        some = ", ".join(names[:NUM_CLASSES_NAMED]) + (", ..." if len(names) > NUM_CLASSES_NAMED else "")
        noun = "labels" if self.card.has_several_labels else "classes"
        facts = ["comes with thumbnet"] if self.comes_with_package else []
        facts.append(f"trained on {self.card.data}")
        facts.append(f"{len(names)} {noun}: {some}")
        if self._test_accuracy is not None:
            right = " (all labels right)" if self.card.has_several_labels else ""
            balanced = or_balanced(self._test_accuracy, self._metrics.get("test_balanced_accuracy"), decimals=1)
            facts.append(f"{self._test_accuracy:.1%} on its test images{right}{balanced}")
        return f"model: {self.name} ({'; '.join(facts)})"

    def to_dict(self) -> dict[str, Any]:
        """Values for JSON; what the model's card does not hold is None."""
        return {
            "name": self.name,
            "data": self.card.data,
            "num_classes": len(self.card.class_names),
            "test_accuracy": self._test_accuracy,
            "test_balanced_accuracy": self._metrics.get("test_balanced_accuracy"),
        }

    @property
    def _test_accuracy(self) -> float | None:
        return self._metrics.get("test_accuracy")

    @property
    def _metrics(self) -> Mapping[str, float]:
        return self.card.metrics or {}


def newest_run(folder: str | Path = RUNS) -> Path | None:
    """The run in `folder` that was finished last; None where there is none."""
    finished: list[tuple[float, Path]] = []
    for pattern in RUN_PATTERNS:
        for metrics in Path(folder).glob(f"{pattern}/{METRICS}"):
            try:
                if (metrics.parent / CONFIG).is_file():
                    finished.append((metrics.stat().st_mtime, metrics.parent))
            except OSError:  # removed meanwhile, or not to be looked into
                continue
    return max(finished)[1] if finished else None
