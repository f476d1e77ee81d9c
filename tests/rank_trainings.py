"""Short trainings, made in one process and in two: `python tests/rank_trainings.py OUT` is the second of these."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from itertools import count
from pathlib import Path
from unittest.mock import patch

import thumbnet  # noqa: F401  # before torch is imported: it applies THUMBNET_CPU

# isort: split
import torch
from torch import Tensor, nn

from fitting import fit_flat
from thumbnet.augment import RandomCrop
from thumbnet.data.batches import num_batches
from thumbnet.data.dataset import Dataset, Split
from thumbnet.data.random_images import random_dataset
from thumbnet.errors import DataError, RankLostError
from thumbnet.kernels.library import can_load
from thumbnet.models.registry import create_model
from thumbnet.specs.fine_tuning import FineTuning
from thumbnet.specs.launch import Launch, this_launch
from thumbnet.training.clock import Clock
from thumbnet.training.distillation import TeacherLogits
from thumbnet.training.progress import Silent, StepReport
from thumbnet.training.ranks import Ranks, joined
from thumbnet.training.stopping import STOP

NUM_CLASSES = 4
MUON = {"optimizer": "muon", "lr": 0.05, "momentum": 0.6, "bias_lr": 0.1, "bias_momentum": 0.85, "head_lr": 1.0}
PLANNED_EPOCHS = 6
SGD = {"optimizer": "sgd", "lr": 0.02, "momentum": 0.9}


class Losses(Silent):
    """Keeps the loss and the accuracy so far at every step."""

    def __init__(self) -> None:
        self.values: list[tuple[float, float]] = []

    def step_ends(self, report: StepReport) -> None:
        self.values.append((report.last_loss, report.accuracy))


class Tiny(nn.Sequential):
    """A norm of one dimension, too, and one that has no parameters and averages all batches; its last layer is `head`,
    which may be trained otherwise than the others."""

    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(3, 8, 3, stride=2),
            nn.BatchNorm2d(8, affine=False, momentum=None),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(2),
            nn.Flatten(),
            nn.BatchNorm1d(32),
        )
        self.add_module("head", nn.Linear(32, NUM_CLASSES))


def darkened(images: Tensor) -> Tensor:
    """Draws for the batch, and looks at all of it."""
    return (images * torch.rand(len(images), 1, 1, 1) * (images.float().mean() / 200)).to(torch.uint8)


def seeded(make: Callable[[], nn.Module]) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return make()


def network(name: str) -> Callable[[], nn.Module]:
    return lambda: create_model(name, num_classes=NUM_CLASSES, seed=0)


def grown(num_images: int, side: int = 32) -> Dataset:
    return random_dataset(num_images, (3, side, side), NUM_CLASSES)


def teacher_of(num_images: int) -> Mapping[str, object]:
    """Random logits of a teacher for each crop, with the augmentation that crops so."""
    logits = torch.randn(num_images, 3, 3, NUM_CLASSES, generator=torch.Generator().manual_seed(0))
    crop = RandomCrop(2, border="reflect")
    return {"teacher": TeacherLogits(crop, logits.half()), "augmentation": (crop,)}


# By name: the model, how many images, and what `fit` is given. Parts differ in size; the last batch has one image left
# over, or is smaller than the others.
CASES: Mapping[str, tuple[Callable[[], nn.Module], int, Mapping[str, object]]] = {
    "sprint": (network("sprint"), 38, {**MUON, "batch_size": 15, "augmentation": "shift-flip", "kernels": "pytorch"}),
    "thumb-20k": (
        network("thumb-20k"),
        38,
        {**MUON, "batch_size": 15, "alternating_flip": True, "augmentation": "shift-flip", "kernels": "pytorch"},
    ),
    "sprint, our kernels": (network("sprint"), 38, {**MUON, "batch_size": 15, "augmentation": "shift-flip"}),
    "thumb-20k, our kernels": (network("thumb-20k"), 38, {**MUON, "batch_size": 15, "average_decay": 0.9}),
    "bfloat16, our kernels": (
        network("sprint"),
        38,
        {**MUON, "batch_size": 15, "precision": "bfloat16", "kernels": "native" if can_load() else "pytorch"},
    ),
    "mixup": (Tiny, 22, {**SGD, "batch_size": 7, "mixup": 0.5, "augmentation": "crop-flip", "average_decay": 0.9}),
    "class weights": (Tiny, 22, {**SGD, "batch_size": 7, "class_weights": "balanced", "mixup": 0.5}),
    "own function": (Tiny, 22, {**SGD, "batch_size": 7, "augmentation": darkened, "mixup": 0.2}),
    "balanced sampler": (Tiny, 22, {**SGD, "batch_size": 7, "sampler": "balanced"}),
    "shuffled in blocks": (Tiny, 22, {**SGD, "batch_size": 7, "shuffle": "blocks"}),
    "several labels": (Tiny, 22, {**SGD, "batch_size": 7, "label_smoothing": 0.1, "mixup": 0.5}),
    "growing images": (Tiny, 22, {**SGD, "batch_size": 7, "scales": (0.5, 1.0), "scale_starts": (0.0, 0.5)}),
    "teacher": (Tiny, 22, {**SGD, "batch_size": 7, "alternating_flip": True, "mixup": 0.5, **teacher_of(22)}),
    "slow body": (Tiny, 22, {**SGD, "batch_size": 7, "fine_tuning": FineTuning(body_lr_factor=0.2)}),
    "frozen body": (Tiny, 22, {**SGD, "batch_size": 7, "fine_tuning": FineTuning(body_lr_factor=0.0)}),
    "fewer images": (Tiny, 5, {**SGD, "batch_size": 2}),
}


def images_of(name: str) -> Dataset:
    """Random ones, small for small networks, unless they are to grow."""
    make, num_images, flat = CASES[name]
    dataset = grown(num_images, 12 if make is Tiny and "scales" not in flat else 32)
    if name == "several labels":
        return replace(dataset, train=with_several_labels(dataset.train), test=with_several_labels(dataset.test))
    if name == "balanced sampler":  # each class but the last has one image
        labels = torch.arange(num_images).clamp_max(NUM_CLASSES - 1)
        return replace(dataset, train=replace(dataset.train, labels=labels))
    return dataset


def with_several_labels(split: Split) -> Split:
    """One or two an image."""
    labels = (split.labels[:, None] + torch.arange(NUM_CLASSES)) % 3 == 0
    return replace(split, labels=labels.to(torch.uint8))


def train(name: str, ranks: Ranks | None, **changes: object) -> tuple[list[tuple[float, float]], dict[str, Tensor]]:
    """The steps' losses and accuracies, and the weights in the end."""
    make, _, flat = CASES[name]
    model, losses = seeded(make), Losses()
    given = {"epochs": 2, "precision": "float32", **flat, **changes, "progress": losses, "ranks": ranks}
    fit_flat(model, images_of(name), **given)
    return losses.values, model.state_dict()


def late_clock() -> Clock:
    """By which each step and each scoring takes a second, and the planned steps would take twice as long as there is;
    the first process's alone, as where it planned minutes."""
    deadline_s = PLANNED_EPOCHS * num_batches(CASES["mixup"][1], 7) / 2
    return Clock(deadline_s, reserve_s=0.0, tolerance_s=0.5, max_steps=1000, now=count(0.0, 1.0).__next__)


@contextmanager
def compiled_as_it_is() -> Iterator[None]:
    """torch.compile traces a network, but has PyTorch run it: a compiler would take a minute."""
    with patch.object(torch, "compile", partial(torch.compile, backend="eager")):
        yield


def in_two(ranks: Ranks, names: tuple[str, ...]) -> dict[str, tuple[list[tuple[float, float]], dict[str, Tensor]]]:
    """What both processes do, one beside the other."""
    done = {name: train(name, ranks) for name in names}
    done["parts"] = train("mixup", ranks, sync_norm=False)
    with compiled_as_it_is():
        done["compiled"] = train("mixup", ranks, sync_norm=False, compiled=True)
    done["stopped"] = train("mixup", ranks, on_epoch_end=(lambda _: STOP) if ranks.is_first else None)
    done["paced"] = train("mixup", ranks, epochs=PLANNED_EPOCHS, clock=late_clock() if ranks.is_first else None)
    return done


def fail_in_the_first(launch: Launch) -> None:
    """A training that the first process leaves by an error while the other waits for a word of it; both live on."""
    with suppress(DataError, RankLostError), joined(launch) as ranks:
        if ranks.is_first:
            raise DataError("its disk is gone", hint="look for it")
        ranks.agree(None)


def main() -> None:
    torch.set_num_threads(1)
    launch = this_launch()
    assert launch is not None
    with joined(launch) as ranks:
        weights = {name: state for name, (_, state) in in_two(ranks, tuple(CASES)).items()}
    fail_in_the_first(launch)
    with joined(launch) as ranks:  # another training of the same processes
        weights["again"] = train("mixup", ranks)[1]
    torch.save(weights, Path(sys.argv[1]))


if __name__ == "__main__":
    main()
