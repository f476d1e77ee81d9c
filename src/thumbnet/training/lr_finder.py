"""LR FINDER: the learning rate to train with, from a short trial in which it grows from step to step.

Source: the range test of Smith, "Cyclical Learning Rates for Training Neural Networks" (2017); the answer is where the
smoothed loss falls fastest against the logarithm of the rate. The trial runs on a copy: the model stays as it is.
"""

from __future__ import annotations

import copy
import csv
import dataclasses
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor, nn
from torch.nn import functional as F

from thumbnet.data.batches import balanced_order, memory_order
from thumbnet.data.dataset import Dataset
from thumbnet.errors import ConfigError, TrainingError
from thumbnet.kernels.memory import keep_freed_memory
from thumbnet.models.outputs import check_num_classes
from thumbnet.specs.checks import require_seed
from thumbnet.specs.inputs import Inputs
from thumbnet.specs.limits import check_batch_size
from thumbnet.specs.objective import Objective
from thumbnet.specs.optimizers import SGD, Optimizer
from thumbnet.training.class_weights import resolve_class_weights
from thumbnet.training.device import pick_device, seeded
from thumbnet.training.inputs import build_augmentations, init_model_from_data, make_batch
from thumbnet.training.label_loss import gradient_scale, label_losses
from thumbnet.training.optimizers import build_optimizer

SMOOTHING = 0.9  # of the exponential moving average of the loss, bias-corrected
DIVERGED = 4.0  # the trial stops where the smoothed loss is this many times its minimum
SKIPPED_FIRST = 10  # steps at either end, where the slope of the average is not reliable
SKIPPED_LAST = 5
METHOD = "where the smoothed loss falls fastest against the logarithm of the rate"
CSV_COLUMNS = ("rate", "loss", "smoothed_loss", "is_suggestion")


@dataclass(frozen=True)
class LrTrial:
    """The learning rate that a trial suggests, and the trial: rates, losses and smoothed losses, step by step.

    `suggestion` is one of the `rates`; `losses` are those of the batches, before the step with that rate;
    `smoothed_losses` are their exponential moving average. `method` says how the suggestion was found.
    """

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    smoothed_losses: tuple[float, ...]
    suggestion: float
    method: str = METHOD

    def to_csv(self) -> str:
        """A line for each step: rate, loss, smoothed_loss, is_suggestion (1 on the line of the suggestion, else 0)."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(CSV_COLUMNS)
        for rate, loss, smoothed in zip(self.rates, self.losses, self.smoothed_losses, strict=True):
            writer.writerow([rate, loss, smoothed, int(rate == self.suggestion)])
        return text.getvalue()


def find_lr(
    model: nn.Module,
    dataset: Dataset,
    *,
    min_lr: float = 1e-4,
    max_lr: float = 10.0,
    num_steps: int = 100,
    batch_size: int = 128,
    optimizer: Optimizer = SGD(lr=0.1),
    inputs: Inputs = Inputs(),
    objective: Objective = Objective(),
    init_from_data: bool = True,
    seed: int = 0,
    device: str = "auto",
) -> LrTrial:
    """Try rates from `min_lr` to `max_lr`, multiplied by the same factor at each of `num_steps` steps.

    What is tried is the optimizer's `lr`; its other rates keep their ratios to it. The other arguments are as in `fit`;
    images have their full size, and are flipped at random where `inputs` flips them alternately. Of the `objective`,
    label smoothing and class weights hold; images are not mixed, and no teacher is learnt from.

    Raises:
        TrainingError: no rate made the loss fall; ConfigError or ModelError: arguments that do not fit.
    """
    if not 0 < min_lr < max_lr or num_steps < SKIPPED_FIRST + SKIPPED_LAST + 5:
        raise ConfigError(
            f"cannot try {num_steps} rates from {min_lr} to {max_lr}",
            hint="give 0 < min_lr < max_lr and 20 steps or more",
        )
    class_weights = resolve_class_weights(objective, inputs, dataset.train.labels, dataset.class_names)
    keep_freed_memory()
    to_device = pick_device(device)
    check_batch_size(batch_size)
    require_seed("seed", seed)
    augmentations = build_augmentations(dataclasses.replace(inputs, alternating_flip=False), dataset)
    trial = copy.deepcopy(model).to(to_device, memory_format=memory_order(to_device)).train()  # type: ignore[call-overload]
    if init_from_data:
        init_model_from_data(trial, dataset, seed=seed)
    torch_optimizer = build_optimizer(optimizer, trial)
    ratios = [group["lr"] / optimizer.lr for group in torch_optimizer.param_groups]
    generator = torch.Generator().manual_seed(seed)
    lrs = np.geomspace(min_lr, max_lr, num_steps)
    num_chosen = min(batch_size, len(dataset.train))  # as in training
    losses: list[float] = []
    smoothed: list[float] = []
    average = 0.0
    with seeded(seed, to_device):
        for step, tried_lr in enumerate(lrs):
            for group, ratio in zip(torch_optimizer.param_groups, ratios, strict=True):
                group["lr"] = float(tried_lr) * ratio
            if inputs.sampler == "balanced":
                chosen = balanced_order(dataset.train.labels, dataset.num_classes, generator)[:num_chosen]
            else:
                chosen = torch.randint(len(dataset.train), (num_chosen,), generator=generator)
            pixels = dataset.train.images.index_select(0, chosen).to(to_device)
            images = make_batch(pixels, augmentations, generator, mean=dataset.mean, std=dataset.std)
            labels = dataset.train.labels[chosen].to(to_device)
            logits = trial(images)
            check_num_classes(logits, dataset.num_classes)
            loss = _loss(logits, labels, label_smoothing=objective.label_smoothing, class_weights=class_weights)
            value = float(loss.detach())
            average = SMOOTHING * average + (1 - SMOOTHING) * value
            if not math.isfinite(value):
                break
            losses.append(value)
            smoothed.append(average / (1 - SMOOTHING ** (step + 1)))
            if step > SKIPPED_FIRST and smoothed[-1] > DIVERGED * min(smoothed):
                break
            torch_optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch_optimizer.step()
    tried = tuple(float(tried_lr) for tried_lr in lrs[: len(losses)])
    return LrTrial(tried, tuple(losses), tuple(smoothed), suggest_lr(tried, smoothed))


def _loss(
    logits: Float[Tensor, "b k"],
    labels: Int64[Tensor, " b"] | UInt8[Tensor, "b k"],
    *,
    label_smoothing: float,
    class_weights: Float[Tensor, " k"] | None,
) -> Float[Tensor, ""]:
    """As in training."""
    if labels.ndim == 2:
        losses = label_losses(logits, labels, label_smoothing=label_smoothing)
        return losses.mean() * gradient_scale(logits.shape[1])
    if class_weights is None:
        return F.cross_entropy(logits, labels, label_smoothing=label_smoothing)
    losses = F.cross_entropy(logits, labels, label_smoothing=label_smoothing, reduction="none")
    return (losses * class_weights.to(logits.device)[labels]).mean()


def suggest_lr(lrs: Sequence[float], smoothed_losses: Sequence[float]) -> float:
    """The rate at which the smoothed loss falls fastest against log(rate), both ends skipped."""
    last = len(smoothed_losses) - SKIPPED_LAST
    if last - SKIPPED_FIRST < 2:
        raise TrainingError(
            f"the loss diverged after {len(smoothed_losses)} steps, before there was anything to see",
            hint="try larger batches (batch_size), or in Python a smaller min_lr",
        )
    slopes = np.gradient(np.asarray(smoothed_losses), np.log(np.asarray(lrs)))[SKIPPED_FIRST:last]
    steepest = int(np.argmin(slopes))
    if slopes[steepest] >= 0:
        raise TrainingError(
            "no learning rate made the loss fall",
            hint="try larger batches (batch_size), or in Python more steps",
        )
    return float(lrs[SKIPPED_FIRST + steepest])
