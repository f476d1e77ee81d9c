"""A point of accuracy against time, and the kinds of processor that such points are kept apart by."""

from __future__ import annotations

import statistics
from dataclasses import dataclass

KINDS = (
    *("AVX2 float32", "AVX-512 float32", "AVX-512 bfloat16"),
    *("AVX-512 bfloat16 AMX", "NEON float32", "NEON bfloat16"),
)
NAMES = {  # for people
    "AVX2 float32": "AVX2 float32",
    "AVX-512 float32": "AVX-512 without bfloat16",
    "AVX-512 bfloat16": "AVX-512 with bfloat16",
    "AVX-512 bfloat16 AMX": "AVX-512 with bfloat16 and AMX",
    "NEON float32": "ARM (NEON)",
    "NEON bfloat16": "ARM (NEON) with bfloat16",
}
FAMILY = "thumb-"  # models by size, on one line


@dataclass(frozen=True)
class Point:
    """Trainings of one length on one kind of processor: median seconds, mean test accuracy, and where they were made.

    `version` is empty for the network and recipe of today, else says until when they were others.
    """

    series: str
    kind: str
    epochs: float
    train_s: float
    accuracies: tuple[float, ...]
    num_params: int
    made: str
    date: str
    version: str = ""
    is_peer: bool = False  # trained by PyTorch alone
    machine: str = ""

    @property
    def accuracy(self) -> float:
        return statistics.mean(self.accuracies)

    @property
    def deviation(self) -> float | None:
        return statistics.stdev(self.accuracies) if len(self.accuracies) > 1 else None

    @property
    def num_runs(self) -> int:
        return len(self.accuracies)

    @property
    def line(self) -> str:
        """The line of the chart that it is on."""
        return f"{FAMILY}20k to {FAMILY}200k" if FAMILY in self.series else self.series

    @property
    def label(self) -> str:
        """What stands at it: the model's size, or the number of epochs."""
        return self.series.removeprefix(FAMILY) if FAMILY in self.series else f"{self.epochs:.3g}"
