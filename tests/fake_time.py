"""A machine whose speed a test gives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from thumbnet.config import TrainConfig
from thumbnet.data.dataset import Dataset
from thumbnet.runs.planning.choose import Planned, plan_training
from thumbnet.runs.planning.speed import Measures, Reference, Speed
from thumbnet.runs.resolve import say_nothing
from thumbnet.specs.engine import Engine
from thumbnet.specs.resizing import ProgressiveResizing


class FakeTime(Measures):
    """A clock that stands still, but for what takes time in a plan."""

    processor_share = 1.0

    def __init__(self, step_s: float, *, image_s: float = 0.33e-3) -> None:
        self.now_s = 50.0
        self.step_s = step_s
        self.image_s = image_s

    def reference(self, engine: Engine, *, seconds: float) -> Reference:
        return Reference(self.image_s, self.processor_share)

    def speed(self, config: TrainConfig, dataset: Any, *, seconds: float) -> Speed:
        scales = config.inputs.resizing.scales
        evenly = ProgressiveResizing(scales, [index / len(scales) for index in range(len(scales))])
        self.now_s += seconds
        full = dataset.image_shape[1:]
        steps = {evenly.sides(full, index, len(scales)): self.step_s for index in range(len(scales))}
        return Speed(steps, 1e-4)

    def plan(
        self, config: TrainConfig, say: Callable[[str], None] = say_nothing, *, dataset: Dataset | None = None
    ) -> Planned:
        return plan_training(
            config, began_s=self.now_s - 5, say=say, dataset=dataset, now=lambda: self.now_s, measures=self
        )
