"""A point of accuracy against time, and the kinds of processor that such points are kept apart by."""

from __future__ import annotations

import re
import statistics
from dataclasses import dataclass

from limited_processor import LIMITED

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

    Args:
        command_s: median of the whole command, where it was measured.
        peak_gflops: the machine's matrix peak at the time, where it was measured.
        notes: what a reader must know of the time, for a footnote.
        num_timed_steps: above 0: the accuracy is a publication's, and the time is extrapolated from so many steps.
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
    command_s: float | None = None
    peak_gflops: float | None = None
    notes: tuple[str, ...] = ()
    num_timed_steps: int = 0

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
    def larger_processor(self) -> str:
        """The name of the larger processor that was limited to this kind; empty if it was of this kind."""
        name, limited, _ = self.machine.partition(LIMITED)
        bare = re.sub(r"\((R|TM)\)| Processor| @ .*| \(\d+ cores.*", "", name)
        return bare.strip() if limited else ""

    @property
    def all_notes(self) -> tuple[str, ...]:
        """Its notes, and whether a larger processor was limited to this kind."""
        if not self.larger_processor:
            return self.notes
        peak = "" if self.peak_gflops is None else f", matrix peak {self.peak_gflops:.0f} GFLOP/s"
        return (f"two cores of a larger {self.larger_processor}, limited by THUMBNET_CPU{peak}", *self.notes)

    @property
    def line(self) -> str:
        """The line of the chart that it is on."""
        return f"{FAMILY}20k to {FAMILY}200k" if FAMILY in self.series else self.series

    @property
    def label(self) -> str:
        """What stands at it: the model's size, or the number of epochs."""
        return self.series.removeprefix(FAMILY) if FAMILY in self.series else f"{self.epochs:.3g}"
