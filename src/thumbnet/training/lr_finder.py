"""LR FINDER: the learning rate to train with, from a short trial in which it grows from step to step.

Source: the range test of Smith, "Cyclical Learning Rates for Training Neural Networks" (2017); the answer is where the
smoothed loss falls fastest against the logarithm of the rate. The trial runs on a copy: model and optimizer stay as
they are.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from thumbnet.augment import Augmentation, augment
from thumbnet.data.batches import normalise
from thumbnet.data.dataset import Dataset
from thumbnet.errors import ConfigError, TrainingError
from thumbnet.training.device import keep_freed_memory, pick_device
from thumbnet.training.fit import default_policy, show_images

SMOOTHING = 0.9  # of the exponential moving average of the loss, bias-corrected
DIVERGED = 4.0  # the trial stops where the smoothed loss is this many times its minimum
SKIPPED_FIRST = 10  # steps at either end in which the average says little
SKIPPED_LAST = 5


@dataclass(frozen=True)
class LrTrial:
    """The learning rate found, and the trial behind it: rates, losses and smoothed losses, step by step."""

    lr: float
    lrs: tuple[float, ...]
    losses: tuple[float, ...]
    smoothed_losses: tuple[float, ...]


def find_lr(
    model: nn.Module,
    dataset: Dataset,
    *,
    min_lr: float = 1e-4,
    max_lr: float = 10.0,
    num_steps: int = 100,
    batch_size: int = 128,
    momentum: float = 0.9,
    nesterov: bool = False,
    weight_decay: float = 0.0,
    label_smoothing: float = 0.0,
    augmentation: str | Sequence[Augmentation] = "crop-flip",
    seed: int = 0,
    device: str = "auto",
) -> LrTrial:
    """Try rates from `min_lr` to `max_lr`, multiplied by the same factor at each of `num_steps` steps.

    Raises:
        TrainingError: no rate made the loss fall; ConfigError: arguments that do not fit.
    """
    if not 0 < min_lr < max_lr or num_steps < SKIPPED_FIRST + SKIPPED_LAST + 5:
        raise ConfigError(
            f"cannot try {num_steps} rates from {min_lr} to {max_lr}",
            hint="give 0 < min_lr < max_lr and 20 steps or more",
        )
    keep_freed_memory()
    to_device = pick_device(device)
    if isinstance(augmentation, str):
        augmentation = default_policy(augmentation, dataset)
    trial = copy.deepcopy(model).to(to_device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    show_images(trial, dataset, seed=seed)
    optimizer = torch.optim.SGD(
        trial.parameters(), lr=min_lr, momentum=momentum, nesterov=nesterov, weight_decay=weight_decay
    )
    generator = torch.Generator().manual_seed(seed)
    lrs = np.geomspace(min_lr, max_lr, num_steps)
    losses: list[float] = []
    smoothed: list[float] = []
    average = 0.0
    with torch.random.fork_rng(devices=[to_device] if to_device.type == "cuda" else []):
        torch.manual_seed(seed)
        for step, lr in enumerate(lrs):
            optimizer.param_groups[0]["lr"] = float(lr)
            chosen = torch.randint(len(dataset.train), (batch_size,), generator=generator)
            images = augment(dataset.train.images[chosen].to(to_device), augmentation, generator)
            labels = dataset.train.labels[chosen].to(to_device)
            loss = F.cross_entropy(
                trial(normalise(images, dataset.mean, dataset.std)), labels, label_smoothing=label_smoothing
            )
            value = float(loss.detach())
            average = SMOOTHING * average + (1 - SMOOTHING) * value
            if not math.isfinite(value):
                break
            losses.append(value)
            smoothed.append(average / (1 - SMOOTHING ** (step + 1)))
            if step > SKIPPED_FIRST and smoothed[-1] > DIVERGED * min(smoothed):
                break
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
    tried = tuple(float(lr) for lr in lrs[: len(losses)])
    return LrTrial(suggest_lr(tried, smoothed), tried, tuple(losses), tuple(smoothed))


def suggest_lr(lrs: Sequence[float], smoothed_losses: Sequence[float]) -> float:
    """The rate at which the smoothed loss falls fastest against log(rate), both ends skipped."""
    last = len(smoothed_losses) - SKIPPED_LAST
    if last - SKIPPED_FIRST < 2:
        raise TrainingError(
            f"the loss diverged after {len(smoothed_losses)} steps, before there was anything to see",
            hint="start from a smaller min_lr",
        )
    slopes = np.gradient(np.asarray(smoothed_losses), np.log(np.asarray(lrs)))[SKIPPED_FIRST:last]
    steepest = int(np.argmin(slopes))
    if slopes[steepest] >= 0:
        raise TrainingError("no learning rate made the loss fall", hint="try more steps or a wider range of rates")
    return float(lrs[SKIPPED_FIRST + steepest])
