"""How fast this machine trains a config's model: measured on random images, with the steps that the training makes."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn

from thumbnet.config import TrainConfig
from thumbnet.data.dataset import Dataset
from thumbnet.data.random_images import random_dataset
from thumbnet.evaluation.predictions import predict_logits
from thumbnet.recipes import load_recipe
from thumbnet.runs.parts import build_model, fit_config
from thumbnet.runs.planning.constants import BATCH, LADDER
from thumbnet.runs.resolve import resolve_config
from thumbnet.specs.engine import Engine
from thumbnet.specs.resizing import ProgressiveResizing
from thumbnet.training.device import pick_device
from thumbnet.training.progress import StepReport
from thumbnet.training.watch import StepWatch, seconds_per_call

REFERENCE_SHAPE = (3, 32, 32)
NUM_CLASSES = 10
WARM_UP_STEPS = 3  # before anything is measured
FIRST_STEPS = 1  # at each size, which are left out
MEASURED_STEPS = (3, 30)  # at each size: at least, and at most
GPU_STEPS = 60  # a GPU's are reported now and then only
EVALUATION_S = 0.2
NUM_EVALUATED = 250


@dataclass(frozen=True)
class Speed:
    """Seconds of a training step by the images' height and width, and of scoring one image at full size."""

    step_s: Mapping[tuple[int, int], float]
    eval_image_s: float


@dataclass(frozen=True)
class Reference:
    """The seconds that the ladder's first recipe trains an image of 32 pixels for, and the share of their time that its
    threads had a processor: 1 where nobody else computes, about a half beside as many threads of other programs."""

    image_s: float
    processor_share: float


class Measures:
    """How fast this machine is."""

    def reference(self, engine: Engine, *, seconds: float) -> Reference:
        """The speed of the ladder's first recipe, measured for about so long."""
        dataset = random_dataset(2 * BATCH, REFERENCE_SHAPE, NUM_CLASSES)
        config = load_recipe(LADDER[0].recipe).replace(
            engine=engine, batch_size=BATCH, scales=(1.0,), scale_starts=(0.0,), seed=0
        )
        config = resolve_config(config, dataset)
        step_s, watch = _step_seconds(config, dataset, build_model(config, dataset), seconds=seconds)
        (seconds_per_step,) = step_s.values()
        return Reference(seconds_per_step / BATCH, watch.processor_share())

    def speed(self, config: TrainConfig, dataset: Dataset, *, seconds: float) -> Speed:
        """The speed of a resolved config on images like the dataset's, measured for about so many seconds."""
        num_images = min(len(dataset.train), max(2 * config.batch_size, dataset.num_classes))
        like = random_dataset(num_images, dataset.image_shape, dataset.num_classes)
        like = dataclasses.replace(like, mean=dataset.mean, std=dataset.std, class_names=dataset.class_names)
        model = build_model(config, like)
        step_s, _ = _step_seconds(config, like, model, seconds=seconds)
        images = like.train.images[:NUM_EVALUATED]
        evaluated_s = seconds_per_call(
            lambda: predict_logits(model, images, mean=like.mean, std=like.std), at_least_s=EVALUATION_S
        )
        return Speed(step_s, evaluated_s / len(images))


THIS_MACHINE = Measures()


def _step_seconds(
    config: TrainConfig, dataset: Dataset, model: nn.Module, *, seconds: float
) -> tuple[dict[tuple[int, int], float], ProcessorWatch]:
    """Seconds of a step at each of the sizes that the images have while they grow, and how these steps went."""
    scales = config.inputs.scales
    first_s = _watched(config, dataset, model, (1.0,), WARM_UP_STEPS).seconds_per_step(WARM_UP_STEPS - 1, WARM_UP_STEPS)
    least, most = MEASURED_STEPS
    each = int(seconds / (first_s * sum(scale**2 for scale in scales)))
    each = max(least, min(most, each)) if pick_device(config.engine.device).type == "cpu" else GPU_STEPS
    watch = _watched(config, dataset, model, scales, each * len(scales))
    _, height, width = dataset.image_shape
    evenly = _evenly(scales)
    step_s = {
        evenly.sides((height, width), index * each, each * len(scales)): watch.seconds_per_step(
            index * each + FIRST_STEPS, (index + 1) * each
        )
        for index in range(len(scales))
    }
    return step_s, watch


class ProcessorWatch(StepWatch):
    """Notes how long this process had processors, too."""

    def __init__(self) -> None:
        super().__init__()
        self.processors_s: list[float] = []

    def step_ends(self, report: StepReport) -> None:
        super().step_ends(report)
        self.processors_s.append(time.process_time())

    def processor_share(self) -> float:
        """Of the time between the first and the last step, over that of all threads that compute."""
        had_s = self.processors_s[-1] - self.processors_s[0]
        return had_s / (self.ends[-1][1] - self.ends[0][1]) / torch.get_num_threads()


def _watched(
    config: TrainConfig, dataset: Dataset, model: nn.Module, scales: tuple[float, ...], num_steps: int
) -> ProcessorWatch:
    watch = ProcessorWatch()
    evenly = tuple(_evenly(scales).starts)
    fit_config(
        config.replace(epochs=None, steps=num_steps, scales=scales, scale_starts=evenly),
        dataset,
        model,
        progress=watch,
    )
    return watch


def _evenly(scales: tuple[float, ...]) -> ProgressiveResizing:
    """Each size for as many steps."""
    return ProgressiveResizing(scales, [index / len(scales) for index in range(len(scales))])
