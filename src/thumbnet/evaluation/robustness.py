"""Accuracy under corruptions at several strengths, on a fixed sample of the test images.

Where an image may have several labels, one counts as right where all are found and no other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from itertools import groupby
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64, UInt8
from torch import Tensor, nn

from thumbnet.data.dataset import Dataset
from thumbnet.data.streamed import chunks_of
from thumbnet.errors import ConfigError
from thumbnet.evaluation.class_texts import with_interval
from thumbnet.evaluation.clustered_shares import clustered_interval
from thumbnet.evaluation.corruptions import CORRUPTIONS, corrupt, strengths_for
from thumbnet.evaluation.intervals import CONFIDENCE_LEVEL, Interval, accuracy_interval
from thumbnet.evaluation.label_predictions import LabelPredictions
from thumbnet.evaluation.label_scoring import evaluate_labels
from thumbnet.evaluation.metrics import evaluate
from thumbnet.evaluation.predictions import EVAL_BATCH_SIZE, predict_logits
from thumbnet.models.decision import Decision, chosen_classes
from thumbnet.models.label_decision import LabelDecision
from thumbnet.specs.json_text import FORMAT, damaged
from thumbnet.specs.typed import from_fields

ROBUSTNESS_FORMAT = 2
MEASURE_AGAIN = "measure again: thumbnet evaluate RUN --robustness"
NUM_IMAGES = 2_000  # the standard error of an accuracy is then at most 1.1 %
NUM_IMAGES_OF_TRAINING = 500  # measured after every training on a folder, in seconds: at most 2.2 %


@dataclass(frozen=True)
class CorruptedAccuracy:
    """The accuracy, a fraction, under one corruption at one strength, which is in `unit`."""

    corruption: str
    strength: float
    unit: str
    accuracy: float


@dataclass(frozen=True)
class Robustness:
    """A model's accuracy on a sample of `num_images` test images as they are, and under each corruption.

    `mean_interval` is that of the mean accuracy, at CONFIDENCE_LEVEL, None of one that an earlier version measured.
    `seed` is that of the sample and of the corruptions; `rows` go corruption by corruption, from mild to severe.
    `str(robustness)` is the table.
    """

    num_images: int
    seed: int
    accuracy: float
    rows: tuple[CorruptedAccuracy, ...]
    mean_interval: Interval | None = None

    @property
    def mean_accuracy(self) -> float:
        """Over all rows: every corruption and strength counts the same."""
        return sum(row.accuracy for row in self.rows) / len(self.rows)

    def interval_of(self, accuracy: float) -> Interval:
        """Wilson's, at CONFIDENCE_LEVEL, of an accuracy on the sample."""
        return accuracy_interval(accuracy, self.num_images)

    def by_corruption(self) -> dict[str, tuple[CorruptedAccuracy, ...]]:
        """The rows of each corruption, in order."""
        return {name: tuple(rows) for name, rows in groupby(self.rows, key=lambda row: row.corruption)}

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; `robustness_from_dict` reads them back."""
        return {
            FORMAT: ROBUSTNESS_FORMAT,
            **asdict(self),
            "accuracy_interval": self.interval_of(self.accuracy),
            "rows": [{**asdict(row), "accuracy_interval": self.interval_of(row.accuracy)} for row in self.rows],
        }

    def __str__(self) -> str:
        clean = f"accuracy {with_interval(self.accuracy, self.interval_of(self.accuracy))}"
        mean = with_interval(self.mean_accuracy, self.mean_interval)
        lines = [
            f"robustness, on {self.num_images:,} test images: {clean}, under the corruptions below {mean} on average"
        ]
        for name, rows in self.by_corruption().items():
            bounds = [self.interval_of(row.accuracy) for row in rows]
            lines.append(f"{name:10} " + "".join(f"{row.strength:>7g}" for row in rows) + f"   {rows[0].unit}")
            lines.append(" " * 11 + "".join(f"{row.accuracy:>7.1%}" for row in rows))
            lines.append(f"{'from':>11}" + "".join(f"{low:>7.1%}" for low, _ in bounds))
            lines.append(f"{'to':>11}" + "".join(f"{high:>7.1%}" for _, high in bounds))
        return "\n".join([*lines, f"In brackets, and from ... to: {CONFIDENCE_LEVEL:.0%} intervals."])


def robustness_from_dict(values: Mapping[str, Any], *, name: str, hint: str = MEASURE_AGAIN) -> Robustness:
    """The inverse of `to_dict`; RunError, which names the file `name`, where the values are of something else."""
    robustness = from_fields(Robustness, values, name=name, hint=hint)
    shares = [robustness.accuracy, *(row.accuracy for row in robustness.rows)]
    if not robustness.rows or robustness.num_images < 1 or robustness.seed < 0:
        raise damaged(name, "it holds no measurement", hint=hint)
    if not all(0 <= share <= 1 for share in shares):
        raise damaged(name, "an accuracy is not between 0 and 1", hint=hint)
    return robustness


def measure_robustness(
    model: nn.Module,
    dataset: Dataset,
    *,
    num_images: int = NUM_IMAGES,
    seed: int = 0,
    decision: Decision | LabelDecision | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> Robustness:
    """Score test images as they are and under every corruption at each of its strengths, on the model's device.

    The sample is random and the same for every model; with `num_images` test images or fewer it is all of them. It is
    not stratified by class: that takes from the sample's variance only the part that is between
    classes (4 % of it with the pretrained `sprint` on CIFAR-10). The strengths of a corruption share what is drawn, so
    only the strength differs between them.

    Args:
        num_images: 1 or more.
        seed: 0 or more; of the sample, and of noise, directions and turns.
        decision: how logits become answers, as a card has it; None: the likeliest class, or the labels with a
            probability of one half or more.
        say: is called with the name of each corruption before it is measured.

    Raises:
        ConfigError: `num_images` or `seed` is too small, or the decision is for one label an image, and the dataset
            has several, or the other way round; ModelError: as `evaluate`.
    """
    if num_images < 1:
        raise ConfigError(f"num_images is {num_images}", hint=f"give 1 or more: {NUM_IMAGES:,} by default")
    if isinstance(decision, Decision if dataset.has_several_labels else LabelDecision):
        what = "several labels" if dataset.has_several_labels else "one label"
        raise ConfigError(f"decision is {type(decision).__name__}, but an image has {what}", hint="leave decision out")
    sample = dataset.test.select(sample_indices(len(dataset.test), num_images, seed=seed))
    accuracy = _accuracy(model, replace(dataset, test=sample), decision)
    rows = []
    times_right = torch.zeros(len(sample), dtype=torch.int64)
    for corruption in CORRUPTIONS:
        say(f"{corruption.name} ...")
        for strength in strengths_for(corruption, dataset.image_shape[1:]):
            generator = torch.Generator().manual_seed(seed)
            right = []
            batches = chunks_of(sample.images, EVAL_BATCH_SIZE)  # a sample of large pictures has no room as float32
            for number, batch in enumerate(batches):
                labels = sample.labels[number * EVAL_BATCH_SIZE : (number + 1) * EVAL_BATCH_SIZE]
                images = corrupt(batch, corruption, strength, generator)
                logits = predict_logits(model, images, mean=dataset.mean, std=dataset.std)
                right.append(_right(logits, labels, decision))
            is_right = torch.cat(right)
            times_right += is_right
            rows.append(
                CorruptedAccuracy(corruption.name, strength, corruption.unit, int(is_right.sum()) / len(sample))
            )
    shares = times_right.double().numpy() / len(rows)
    return Robustness(
        len(sample),
        seed,
        accuracy,
        tuple(rows),
        clustered_interval(shares, np.arange(len(sample)), num_parts=len(rows)),
    )


def _accuracy(model: nn.Module, dataset: Dataset, decision: Decision | LabelDecision | None) -> float:
    """Of the test images as they are."""
    if dataset.has_several_labels:
        assert not isinstance(decision, Decision)
        return evaluate_labels(model, dataset, decision=decision).accuracy
    assert not isinstance(decision, LabelDecision)
    return evaluate(model, dataset, decision=decision).accuracy


def _right(
    logits: Float[Tensor, "n k"],
    labels: Int64[Tensor, " n"] | UInt8[Tensor, "n k"],
    decision: Decision | LabelDecision | None,
) -> Bool[Tensor, " n"]:
    if labels.ndim == 2:
        assert not isinstance(decision, Decision)
        return LabelPredictions(logits, labels, decision).right
    assert not isinstance(decision, LabelDecision)
    return torch.from_numpy(chosen_classes(decision, logits.numpy()) == labels.numpy())


def sample_indices(num_all: int, num_images: int, *, seed: int) -> Int64[Tensor, " m"]:
    """Positions of `num_images` of `num_all` images, or of all, ascending; by PCG64's raw numbers, which never change.

    Raises:
        ConfigError: the seed is negative.
    """
    if seed < 0:
        raise ConfigError(f"seed is {seed}, expected 0 or more", hint="give 0")
    ranks = np.random.PCG64(seed).random_raw(num_all)
    return torch.from_numpy(np.sort(np.argsort(ranks, kind="stable")[:num_images]))
