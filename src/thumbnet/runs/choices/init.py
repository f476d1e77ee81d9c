"""`init = "auto"`: the package's trained weights where they win on this data's validation images, else new ones.

Two short trainings begin with the one and with the other, in equal time, each on images normalised as its weights know
them. The trained weights win where they are right on more of the validation images, by more than a standard error of
the difference. A short training favours them, so that a smaller gain may be gone at the end of a long one.
"""

from __future__ import annotations

import dataclasses
import math
import time
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float64
from torch import Tensor

from thumbnet.config import TrainConfig
from thumbnet.data.batches import num_batches
from thumbnet.data.dataset import Dataset, Split
from thumbnet.errors import ConfigError
from thumbnet.evaluation.predictions import predict_logits
from thumbnet.models.pretrained import read_pretrained_card
from thumbnet.runs.choices.augmentation_probe import PROBE_POLICY
from thumbnet.runs.choices.trials import train_shortly, trial_steps
from thumbnet.runs.files.init_record import InitChoice, StartTrial
from thumbnet.runs.init import begin_with_trained_weights, with_statistics_of_weights
from thumbnet.runs.parts import build_model
from thumbnet.runs.resolve import Say, resolve_config
from thumbnet.runs.which import check_weights_for
from thumbnet.specs.objective import is_balanced
from thumbnet.specs.policies import AUTO
from thumbnet.terminal.text import counted

MIN_IMAGES = 100  # of validation: fewer say nothing
MIN_STEPS = 10  # of a trial
STANDARD_ERRORS = 1.0  # of the difference, by which trained weights must be better


@dataclass(frozen=True)
class Start:
    """What a training may begin with: trained weights by their name, or new ones (None).

    `config` is not resolved yet, `resolved` is, and `dataset` is normalised as the weights know images.
    """

    weights: str | None
    config: TrainConfig
    resolved: TrainConfig
    dataset: Dataset


def start_with(config: TrainConfig, dataset: Dataset, weights: str | None) -> Start:
    """A start of a config, whose `init` may be anything: the trained weights of its model take the place of that."""
    config = config.replace(init=weights)
    normalised = config
    if weights is not None:
        check_weights_for(config.model)
        normalised, remark = with_statistics_of_weights(config, dataset)
        assert normalised.mean is not None
        assert normalised.std is not None
        dataset = dataset.with_statistics(normalised.mean, normalised.std)
        dataset = dataset.with_remark(remark) if remark else dataset
    return Start(weights, config, resolve_config(normalised, dataset), dataset)


def check_start(start: Start) -> None:
    """ConfigError where trained weights do not fit the network, or validation images could not tell how good they are:
    they know these images, or there are none."""
    if start.dataset.val is None:
        raise ConfigError(
            "init is 'auto', but no images are held out for validation",
            hint="name the weights to begin with or leave init out, or set val_fraction above 0",
        )
    if start.weights is None:
        return
    if read_pretrained_card(start.weights)["data"] == start.dataset.source.name:
        raise ConfigError(
            f"init is 'auto', but the trained weights of {start.weights} know {start.dataset.source.name}, also images "
            "that are held out for validation now",
            hint="leave init out",
        )
    try:
        begin_with_trained_weights(build_model(start.resolved, start.dataset), start.resolved, start.dataset)
    except ConfigError as error:
        raise ConfigError(f"init is 'auto', but {error.message}", hint=error.hint) from error


def with_chosen_init(
    config: TrainConfig, dataset: Dataset, *, say: Say, most_steps: int | None = None
) -> tuple[TrainConfig, Dataset, InitChoice]:
    """The config, not resolved, with trained weights or none in the place of `auto`; the dataset's remarks say why.

    Each of the two short trainings has at most `most_steps` steps.

    Raises:
        ConfigError: no trained weights fit, or nothing is there to choose them by.
    """
    check_weights_for(config.model)
    new, trained = (start_with(config, dataset, weights) for weights in (None, config.model))
    steps = trial_steps(new.resolved, len(dataset.train), most_steps=most_steps)
    choice = choose_start(new, trained, steps=(steps, steps), say=say)
    chosen = new if choice.weights is None else trained
    return chosen.config, dataset.with_remark(choice.reason), choice


def choose_start(new: Start, trained: Start, *, steps: tuple[int, int], say: Say) -> InitChoice:
    """New or trained weights, by trials of so many steps, which take as long; the reason is said, too.

    Raises:
        ConfigError: as `check_start`.
    """
    for start in (new, trained):
        check_start(start)
    held_out = new.dataset.val
    assert held_out is not None
    of_trained = f"those of {trained.weights} were not tried"
    if len(held_out) < MIN_IMAGES:
        why = f"{len(held_out)} validation images are too few to compare them by"
        choice = InitChoice(None, f"init: new weights; {of_trained}: {why}.", len(held_out))
    elif min(steps) < MIN_STEPS:
        why = f"a short training would have no more than {counted(min(steps), 'step')}"
        choice = InitChoice(None, f"init: new weights; {of_trained}: {why}.", len(held_out))
    else:
        say(f"Choosing what to begin with: short trainings with new weights and with those of {trained.weights} ...")
        choice = _compared(new, trained, held_out, steps)
    say(choice.reason)
    return choice


def _compared(new: Start, trained: Start, held_out: Split, steps: tuple[int, int]) -> InitChoice:
    weighs_classes = is_balanced(new.resolved.objective, new.resolved.inputs)
    parts = _parts(held_out, is_balanced=weighs_classes)
    trials, rights = [], []
    for start, num_steps in zip((new, trained), steps, strict=True):
        begin_s = time.perf_counter()
        right = _tried(start, num_steps, held_out)
        mean, error = _mean_and_error(right.double(), parts)
        trials.append(
            StartTrial(
                weights=start.weights,
                model=start.resolved.model,
                steps=num_steps,
                epochs=num_steps / num_batches(len(start.dataset.train), start.resolved.batch_size),
                seconds=time.perf_counter() - begin_s,
                val_accuracy=mean,
                standard_error=error,
            )
        )
        rights.append(right.double())
    gain, gain_error = _mean_and_error(rights[1] - rights[0], parts)
    weights = trained.weights if gain > STANDARD_ERRORS * gain_error else None
    reason = _reason(trials, weights, num_val=len(held_out), gain_error=gain_error, is_balanced=weighs_classes)
    return InitChoice(weights, reason, len(held_out), tuple(trials), gain, gain_error)


def _tried(start: Start, steps: int, held_out: Split) -> Bool[Tensor, " n"]:
    """Which validation images a short training is right on; of several labels, where all are right."""
    config = start.resolved
    if config.inputs.augmentation == AUTO:  # which is chosen later
        inputs = dataclasses.replace(
            config.inputs, augmentation=PROBE_POLICY, flip=config.inputs.flip is True, alternating_flip=False
        )
        config = config.replace(inputs=inputs)
    model = train_shortly(config, start.dataset, steps=steps)
    logits = predict_logits(model, held_out.images, mean=start.dataset.mean, std=start.dataset.std)
    if held_out.has_several_labels:
        return ((logits >= 0) == held_out.labels).all(dim=1)
    right: Tensor = logits.argmax(dim=1) == held_out.labels
    return right


def _parts(held_out: Split, *, is_balanced: bool) -> Float64[Tensor, " n"]:
    """What each image counts, 1 on average: the same, or so that classes do."""
    if not is_balanced:
        return torch.ones(len(held_out), dtype=torch.float64)
    counts = held_out.labels.bincount().double()
    return len(held_out) / (int((counts > 0).sum()) * counts[held_out.labels])


def _mean_and_error(values: Float64[Tensor, " n"], parts: Float64[Tensor, " n"]) -> tuple[float, float]:
    """The mean, with each image counted as it does, and its standard error."""
    mean = float((parts * values).mean())
    return mean, float((parts * (values - mean)).std()) / math.sqrt(len(values))


def _reason(
    trials: list[StartTrial], weights: str | None, *, num_val: int, gain_error: float, is_balanced: bool
) -> str:
    new, trained = trials
    of_new = "new weights" if new.model == trained.model else f"{new.model} with new weights"
    begins = f"init: began with the trained weights of {trained.weights}"
    if weights is None:
        begins = f"init: new weights; the trained ones of {trained.weights} did not win"
    shown = [f"{trial.epochs:.1f}".removesuffix(".0") for trial in (trained, new)]
    after = f"{shown[0]} and {shown[1]} epochs" if shown[0] != shown[1] else f"{shown[0]} epochs"
    after = "1 epoch" if after == "1 epochs" else after
    mean = ", mean over the classes," if is_balanced else ""
    return (
        f"{begins}: {trained.val_accuracy:.1%} against {new.val_accuracy:.1%} of {of_new}{mean} on {num_val:,} "
        f"validation images after {after} (standard error of the difference {100 * gain_error:.1f} points)."
    )
