"""The measuring, on random images: speed does not depend on what is in the pictures, so no data is needed.

Each model and each recipe is measured in a process of its own, so that its peak memory is its own.
"""

from __future__ import annotations

import multiprocessing
import os
import re
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any, TypeVar

import torch

from thumbnet.bench.layers import kernels_by_layer
from thumbnet.bench.report import NUM_IMAGES, Bench, ModelSpeed, RecipeTime
from thumbnet.config import TrainConfig
from thumbnet.data.batches import normalise, num_batches
from thumbnet.data.dataset import Dataset
from thumbnet.data.random_images import random_dataset
from thumbnet.data.source_registry import CIFAR_VAL_FRACTION
from thumbnet.errors import ConfigError
from thumbnet.evaluation.predictions import predict_logits
from thumbnet.kernels.block_functions import Plain, Separable, Strided
from thumbnet.kernels.choice import pick_kernels, runs_fully_fused
from thumbnet.kernels.convolution import Convolution
from thumbnet.kernels.library import Kernels
from thumbnet.models.registry import create_model, list_models, num_params
from thumbnet.recipes import list_recipes, load_recipe
from thumbnet.runs.parts import build_model, check_sizes, fit_config
from thumbnet.runs.resolve import resolve_config
from thumbnet.specs.engine import Engine
from thumbnet.specs.inputs import Inputs
from thumbnet.specs.optimizers import SGD
from thumbnet.specs.resizing import ProgressiveResizing
from thumbnet.training.device import peak_memory_bytes, pick_device, pick_precision, processor_name
from thumbnet.training.fit import fit
from thumbnet.training.history import History
from thumbnet.training.inputs import build_augmentations, make_batch
from thumbnet.training.processor import processor_kind
from thumbnet.training.progress import Progress
from thumbnet.training.threads import obeys_threads
from thumbnet.training.watch import StepWatch, seconds_per_call

MATRIX_SIZES = (1024, 2048, 4096)  # sides of the square matrices
MATRIX_REPEATS = 6
IMAGE_SHAPE = (3, 32, 32)
NUM_CLASSES = 10
AUGMENTATION = "crop-flip"  # for models, which have none of their own
CPU_STEPS = 10  # measured for each size of images, the first ones left out
GPU_STEPS = 60
WARM_UP_STEPS = 2
NUM_PROFILED_STEPS = 4
OURS = "|".join(function.__name__ for function in (Convolution, Plain, Separable, Strided))  # by our kernels
CONVOLUTION = re.compile(
    rf"aten::.*conv.*|({OURS})(Backward)?"
)  # in the profiler; ours with the blocks fused around them
FORWARD_S = 1.0  # at least this long

Say = Callable[[str], None]
T = TypeVar("T")


def run_bench(
    *,
    models: Sequence[str] | None = None,
    recipes: Sequence[str] | None = None,
    batch_size: int = 128,
    precision: str = "auto",
    device: str = "auto",
    say: Say = lambda text: None,
) -> Bench:
    """Measure this machine; let nothing else run meanwhile.

    Args:
        models, recipes: names; None: all of them.
        batch_size, precision: to train the models with; recipes have their own.
        say: is called with the name of each part before it is measured.

    Raises:
        ConfigError: an unknown name, a batch size below 2, or a device that is not here.
    """
    models = list_models() if models is None else models
    for name in models:
        create_model(name)
    configs = [load_recipe(name) for name in (list_recipes() if recipes is None else recipes)]
    if recipes is None:
        configs = [config for config in configs if config.minutes is None]  # the others take as long as they are given
    if batch_size < 2:
        raise ConfigError(f"batch_size is {batch_size}", hint="batch normalisation needs at least 2 images a batch")
    chosen = pick_device(device)
    pick_precision(precision, chosen)  # refused before anything is measured
    say("matrix products ...")
    peak = matrix_gflops(chosen)
    speeds = []
    for name in models:
        say(f"model {name} ...")
        speeds.append(_in_own_process(measure_model, name, batch_size, precision, chosen.type))
    times = []
    for config in configs:
        say(f"recipe {config.recipe} ...")
        times.append(_in_own_process(time_recipe, config.replace(device=chosen.type)))
    return Bench(
        processor=processor_name(),
        processor_kind=processor_kind(),
        num_threads=torch.get_num_threads(),
        torch_version=torch.__version__,
        device=chosen.type,
        batch_size=batch_size,
        matrix_gflops=peak,
        models=tuple(speeds),
        recipes=tuple(times),
    )


def matrix_gflops(device: torch.device | str = "cpu") -> float:
    """The best of several float32 products of square matrices, in 10^9 floating-point operations a second."""
    best = 0.0
    for side in MATRIX_SIZES:
        a, b = torch.randn(2, side, side, device=device)
        for _ in range(MATRIX_REPEATS):
            begin_s = time.perf_counter()
            torch.mm(a, b)[0, 0].item()  # reading a number waits for a GPU
            best = max(best, 2 * side**3 / (time.perf_counter() - begin_s) / 1e9)
    return best


def measure_model(name: str, batch_size: int, precision: str, device: str) -> ModelSpeed:
    """A model's speed in this process."""
    num_steps = CPU_STEPS if device == "cpu" else GPU_STEPS
    dataset = random_dataset(batch_size * num_steps, IMAGE_SHAPE, NUM_CLASSES)
    model = create_model(name)
    count = num_params(model)
    library = pick_kernels("auto", model, torch.device(device))
    fully_fused = library is not None and runs_fully_fused(model)
    dtype = pick_precision(precision, torch.device(device), fully_fused=fully_fused)

    def train(part: Dataset, progress: Progress) -> History:
        return fit(
            model,
            part,
            epochs=1,
            batch_size=batch_size,
            optimizer=SGD(lr=0.01),
            inputs=Inputs(augmentation=AUGMENTATION),
            engine=Engine(device=device, precision=precision),
            progress=progress,
        ).history

    watch = StepWatch()
    train(dataset, watch)
    step_s = watch.seconds_per_step(WARM_UP_STEPS, num_steps)
    data_s = _seconds_of_data(dataset, batch_size, torch.device(device), library)
    peak = peak_memory_bytes(torch.device(device))
    convolution_share = None
    if device != "mps":
        short = dataset.with_train(dataset.train.select(range(NUM_PROFILED_STEPS * batch_size)))
        convolution_share = _share_of_convolutions(lambda: train(short, StepWatch()))
    data_share = data_s / step_s
    images = normalise(dataset.train.images[:batch_size].to(device), dataset.mean, dataset.std)
    return ModelSpeed(
        model=name,
        num_params=count,
        precision=str(dtype).removeprefix("torch."),
        forward_images_per_s=_forward_images_per_s(model, dataset),
        training_images_per_s=batch_size / step_s,
        data_share=data_share,
        convolution_share=convolution_share,
        rest_share=None if convolution_share is None else 1 - data_share - convolution_share,
        peak_memory_bytes=peak,
        layers=kernels_by_layer(model, library, images, dtype=dtype),
    )


@obeys_threads
def time_recipe(config: TrainConfig) -> RecipeTime:
    """What a recipe's training takes on CIFAR-10, from some steps at each size that its images have."""
    held_out = CIFAR_VAL_FRACTION if isinstance(config.val_fraction, str) else config.val_fraction
    dataset = random_dataset(round(NUM_IMAGES * (1 - held_out)), IMAGE_SHAPE, NUM_CLASSES)
    config = resolve_config(config, dataset)
    check_sizes(config, dataset)
    resizing = config.inputs.resizing
    steps_per_size = CPU_STEPS if config.engine.device == "cpu" else GPU_STEPS
    num_sizes = len(resizing.scales)
    positions = torch.arange(steps_per_size * num_sizes * config.batch_size) % len(dataset.train)
    evenly = ProgressiveResizing(resizing.scales, [index / num_sizes for index in range(num_sizes)])
    watch = StepWatch()
    fit_config(
        config.replace(epochs=1, steps=None, pace_starts=None, pace_steps=None, scale_starts=tuple(evenly.starts)),
        dataset.with_train(dataset.train.select(positions)),
        build_model(config, dataset),
        progress=watch,
    )
    seconds = {
        evenly.sides(IMAGE_SHAPE[1:], index * steps_per_size, num_sizes * steps_per_size): watch.seconds_per_step(
            index * steps_per_size + WARM_UP_STEPS, (index + 1) * steps_per_size
        )
        for index in range(num_sizes)
    }
    steps_per_epoch = num_batches(len(dataset.train), config.batch_size)
    num_steps = config.epochs * steps_per_epoch if config.pace is None else config.pace.num_steps
    counts = Counter(resizing.sides(IMAGE_SHAPE[1:], step, num_steps) for step in range(num_steps))
    return RecipeTime(
        recipe=config.recipe,
        model=config.model,
        epochs=config.epochs,
        num_steps=num_steps,
        train_s=sum(seconds[sides] * count for sides, count in counts.items()),
        peak_memory_bytes=peak_memory_bytes(torch.device(config.engine.device)),
    )


def _seconds_of_data(dataset: Dataset, batch_size: int, device: torch.device, library: Kernels | None) -> float:
    """For one batch as it is trained on."""
    augmentations = build_augmentations(Inputs(augmentation=AUGMENTATION), dataset)
    generator = torch.Generator().manual_seed(0)
    images = dataset.train.images.to(device)

    def one_batch() -> None:
        chosen = torch.randperm(len(images), generator=generator)[:batch_size].to(device)
        pixels = images.index_select(0, chosen)
        batch = make_batch(pixels, augmentations, generator, mean=dataset.mean, std=dataset.std, library=library)
        batch[0, 0, 0, 0].item()  # waits for a GPU

    return seconds_per_call(one_batch, at_least_s=0.2)


def _share_of_convolutions(train: Callable[[], History]) -> float:
    """The share of `train`'s time in convolutions, forward and backward, or in blocks fused around them."""
    os.environ.setdefault("KINETO_LOG_LEVEL", "6")  # else the profiler tells the terminal when it starts and stops
    with torch.profiler.profile() as profile:
        history = train()
    events = [event for event in profile.key_averages() if CONVOLUTION.fullmatch(event.key)]
    on_device = sum(event.self_device_time_total for event in events)
    seconds = float(on_device or sum(event.self_cpu_time_total for event in events)) / 1e6
    return seconds / history.train_s


def _forward_images_per_s(model: torch.nn.Module, dataset: Dataset) -> float:
    images = dataset.train.images[:500]
    return len(images) / seconds_per_call(
        lambda: predict_logits(model, images, mean=dataset.mean, std=dataset.std), at_least_s=FORWARD_S
    )


def _in_own_process(function: Callable[..., T], *arguments: Any) -> T:
    with ProcessPoolExecutor(max_workers=1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()
