"""`augmentation = "auto"`: a policy by what this data's validation images show, and by the training's length.

Which flips and turns keep a class is a question to the pictures, not to the network: a short training without any of
them, of the recipe that learns soonest, is scored on validation images as they are, and flipped and turned. Where its
accuracy falls, as with letters or gauges, that change is left out of the training; where it stays, as with textures
seen from above, the training has it. A network that has hardly begun knows colours alone, which no turn changes: it is
asked for flips to the left and right at most, and so is any network where few validation images are there to tell.

How strong the other changes are goes by the number of epochs, as in thumbnet's own recipes: a race of policies on a few
hundred validation images would be decided by chance, and short races favour weak policies. Images in flat colours, as
drawings have them, are never changed strongly.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float64, UInt8
from torch import Tensor, nn

from thumbnet.config import TrainConfig
from thumbnet.data.dataset import Dataset, Split
from thumbnet.data.standardise import GREY
from thumbnet.errors import ConfigError
from thumbnet.evaluation.predictions import flipped, predict_logits
from thumbnet.runs.choices.augmentation_probe import PROBE_POLICY, short_training, train_probe
from thumbnet.runs.choices.flat_colours import are_flat
from thumbnet.runs.resolve import Say
from thumbnet.specs.policies import AUTO
from thumbnet.terminal.text import counted
from thumbnet.training.inputs import resolve_inputs

MIN_IMAGES = 30  # of validation: fewer say nothing
MIN_IMAGES_OF_TURNS = 100  # of validation: fewer say whether flips to the left and right do harm, and no more
MOST_IMAGES = 2000  # of validation, that are looked at in each view
TRUSTED_STEPS = 60  # after fewer, the model is asked for flips to the left and right alone
LOST_SHARE = 0.15  # of what the model knows beyond chance, that a harmless change may cost
STANDARD_ERRORS = 2.0  # that flips to the left and right may cost, since they are harmless as a rule
USUAL = "left-right"
AS_CHEAP = (PROBE_POLICY, "shift-flip")  # what they take goes unnoticed beside a step
STRENGTHS = (  # up to so many epochs: the policies upright, with flips upside down, with quarter turns
    (12, ("shift-flip", "flips", "turns")),
    (40, ("shift2-flip", "flips", "turns")),
    (math.inf, ("strong", "strong-flips", "strong-turns")),
)
MOST_EPOCHS_OF_FLAT = 40  # images in flat colours are changed as in a training of no more


@dataclass(frozen=True)
class Change:
    """A change of all validation images, the balanced accuracy before and after it, and whether it is harmless."""

    name: str
    accuracy: float
    changed_accuracy: float
    is_harmless: bool


@dataclass(frozen=True)
class PolicyChoice:
    """A policy's name, and whether it flips left and right."""

    augmentation: str
    flip: bool


@dataclass(frozen=True)
class Judgement:
    """What validation images say of flips and turns; `default_flip` where they say nothing, and `why` they do not.

    `given_flip` is the config's own, which holds whatever they say, unless it is `auto`. `is_flat`: the images are in
    flat colours.
    """

    changes: Sequence[Change] = ()
    default_flip: bool = True
    why: str = ""
    given_flip: bool | Literal["auto"] = "auto"
    is_flat: bool = False

    def choice(self, epochs: int) -> PolicyChoice:
        """The policy of a training of so many epochs."""
        harmless = {change.name for change in self.changes if change.is_harmless}
        strength = min(epochs, MOST_EPOCHS_OF_FLAT) if self.is_flat else epochs
        upright, flipped, turned = next(names for most, names in STRENGTHS if strength <= most)
        name = upright
        if "by 90 degrees" in harmless:
            name = turned
        elif "upside down" in harmless:
            name = flipped
        found = USUAL in harmless if self.changes else self.default_flip
        return PolicyChoice(name, self.given_flip if isinstance(self.given_flip, bool) else found)

    def reason(self, choice: PolicyChoice, epochs: int) -> str:
        """Why a training of so many epochs has this policy, in a sentence for people."""
        why = self.why
        if self.changes:
            shown = ", ".join(f"{each.name} {each.changed_accuracy:.1%}" for each in self.changes)
            accuracy = f"{self.changes[0].accuracy:.1%}"
            why = f"on validation images a short training was right in {accuracy}, on changed ones: {shown}"
        flips = "with" if choice.flip else "without"
        flat = " of images in flat colours" if self.is_flat else ""
        return (
            f"augmentation: {choice.augmentation}, {flips} flips left to right, for {counted(epochs, 'epoch')}{flat}; "
            f"{why}."
        )


def with_chosen_policy(
    config: TrainConfig, dataset: Dataset, *, say: Say, most_steps: int | None = None, epochs: int | None = None
) -> tuple[TrainConfig, Dataset]:
    """The resolved config with a policy in the place of `auto`; the dataset's remarks then say why this one.

    The short training has at most `most_steps` steps; the policy is one for so many `epochs`, None: for the config's.

    Raises:
        ConfigError: the policy is to be chosen, but no images are held out for validation.
    """
    if config.inputs.augmentation != AUTO:
        return config, dataset
    judgement = judge_policies(config, dataset, say=say, most_steps=most_steps)
    choice = judgement.choice(config.epochs if epochs is None else epochs)
    reason = judgement.reason(choice, config.epochs)
    say(reason)
    return with_policy(config, dataset, choice), dataset.with_remark(reason)


def with_policy(config: TrainConfig, dataset: Dataset, choice: PolicyChoice) -> TrainConfig:
    """The resolved config with this policy, and with an alternating flip only where that flips."""
    inputs = dataclasses.replace(
        config.inputs,
        augmentation=choice.augmentation,
        flip=choice.flip,
        alternating_flip=config.inputs.alternating_flip and choice.flip,
    )
    return config.replace(inputs=resolve_inputs(inputs, dataset))


def judge_policies(config: TrainConfig, dataset: Dataset, *, say: Say, most_steps: int | None = None) -> Judgement:
    """What may be done to this dataset's images, by a short training with a resolved config; it uses no test image.

    Raises:
        ConfigError: no images are held out for validation.
    """
    judged = _judged(config, dataset, say, most_steps)
    is_flat = are_flat(dataset.train.images, frame=GREY if dataset.fit == "letterbox" else None)
    return dataclasses.replace(judged, given_flip=config.inputs.flip, is_flat=is_flat)


def _judged(config: TrainConfig, dataset: Dataset, say: Say, most_steps: int | None) -> Judgement:
    if dataset.val is None:
        raise ConfigError(
            "augmentation is 'auto', but no images are held out for validation",
            hint="name a policy, or set val_fraction above 0",
        )
    if not dataset.flip_keeps_labels:
        return Judgement(default_flip=False, why="flips do not keep these labels")
    if len(dataset.val) < MIN_IMAGES:
        return Judgement(why=f"{len(dataset.val)} validation images are too few to tell what else keeps the classes")
    say(
        "Choosing the augmentation: a short training without any, looked at on flipped and turned validation images ..."
    )
    short = short_training(config, dataset, most_steps=most_steps)
    assert short.steps is not None
    changes = judge_changes(train_probe(short, dataset), dataset, _some(dataset.val))
    if short.steps < TRUSTED_STEPS or len(dataset.val) < MIN_IMAGES_OF_TURNS:
        changes = [change for change in changes if change.name == USUAL]
    if not changes:
        return Judgement(why="the short training learnt too little to tell what else keeps the classes")
    return Judgement(changes)


def judge_changes(model: nn.Module, dataset: Dataset, held_out: Split) -> list[Change]:
    """What the model's balanced accuracy is on images flipped left-right and upside down, and turned by 90 degrees.

    Quarter turns are left out where images are not square. Empty where the model is hardly better than chance, so that
    it shows nothing.
    """
    right = _balanced(_right(model, dataset, held_out), held_out)
    accuracy = float(right.mean())
    known = accuracy - _chance(held_out)
    if known <= STANDARD_ERRORS * float(right.std()) / math.sqrt(len(held_out)):
        return []
    views = {USUAL: flipped, "upside down": _upside_down}
    if held_out.images.shape[2] == held_out.images.shape[3]:
        views["by 90 degrees"] = _turned
    changes = []
    for name, view in views.items():
        lost = right - _balanced(_right(model, dataset, held_out, view), held_out)
        error = float(lost.std()) / math.sqrt(len(lost))
        allowed = max(STANDARD_ERRORS * error if name == USUAL else 0.0, LOST_SHARE * known)
        mean = float(lost.mean())
        changes.append(Change(name, accuracy, accuracy - mean, mean <= allowed))
    return changes


def _some(split: Split) -> Split:
    """At most MOST_IMAGES of the split's images, at equal distances."""
    if len(split) <= MOST_IMAGES:
        return split
    return split.select(torch.linspace(0, len(split) - 1, MOST_IMAGES, device="cpu").round().long())


def _right(
    model: nn.Module,
    dataset: Dataset,
    split: Split,
    view: Callable[[UInt8[Tensor, "b c h w"]], UInt8[Tensor, "b c h w"]] | None = None,
) -> Bool[Tensor, " n"] | Bool[Tensor, "n k"]:
    """Which of the split's images the model predicts right, or which of their labels; with `view`, from batches that it
    changes: all images together may be more than memory takes."""
    logits = predict_logits(model, split.images, mean=dataset.mean, std=dataset.std, change=view)
    right: Tensor = (
        (logits >= 0) == split.labels.bool() if split.has_several_labels else logits.argmax(1) == split.labels
    )
    return right


def _upside_down(images: UInt8[Tensor, "b c h w"]) -> UInt8[Tensor, "b c h w"]:
    return images.flip(2)


def _turned(images: UInt8[Tensor, "b c h w"]) -> UInt8[Tensor, "b c h w"]:
    return images.rot90(1, (2, 3)).contiguous()


def _balanced(right: Bool[Tensor, " n"] | Bool[Tensor, "n k"], split: Split) -> Float64[Tensor, " n"]:
    """What each image adds to the balanced accuracy, which is the mean. Of several labels, it is the mean of the
    labels' own, where images with a label count as much as those without; a label that all have, or none, is left
    out."""
    num_images, labels = len(split), split.labels
    if not split.has_several_labels:
        counts = labels.bincount()
        return num_images / (int((counts > 0).sum()) * counts.double()[labels]) * right
    is_there = labels.bool()
    num_with = is_there.double().sum(dim=0)
    differs = (num_with > 0) & (num_with < num_images)
    counts = torch.where(is_there, num_with, num_images - num_with)
    weights = differs * num_images / (2 * differs.sum().clamp(min=1) * counts)
    return (weights * right).sum(dim=1)


def _chance(split: Split) -> float:
    """The balanced accuracy of a guess."""
    return 0.5 if split.has_several_labels else 1 / int((split.labels.bincount() > 0).sum())
