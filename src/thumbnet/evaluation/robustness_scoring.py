"""Scoring a sample of the test images as they are, and under each corruption at each of its strengths."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64, UInt8
from torch import Tensor, nn

from thumbnet.data.dataset import Dataset
from thumbnet.data.streamed import chunks_of
from thumbnet.errors import ConfigError
from thumbnet.evaluation.balanced import balanced_accuracy_of, balanced_interval_of_shares
from thumbnet.evaluation.clustered_shares import clustered_interval
from thumbnet.evaluation.corruptions import CORRUPTIONS, corrupt, strengths_for
from thumbnet.evaluation.intervals import Interval
from thumbnet.evaluation.label_predictions import LabelPredictions
from thumbnet.evaluation.label_scoring import evaluate_labels
from thumbnet.evaluation.metrics import evaluate
from thumbnet.evaluation.predictions import EVAL_BATCH_SIZE, predict_logits
from thumbnet.evaluation.robustness import CorruptedAccuracy, Robustness
from thumbnet.models.decision import Decision, chosen_classes
from thumbnet.models.label_decision import LabelDecision

NUM_IMAGES = 2_000  # the standard error of an accuracy is then at most 1.1 %
NUM_IMAGES_OF_TRAINING = 500  # measured after every training on a folder, in seconds: at most 2.2 %


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
    num_classes = None if dataset.has_several_labels else dataset.num_classes
    accuracy, is_right = _as_they_are(model, replace(dataset, test=sample), decision)
    balanced = _balanced(is_right, sample.labels, num_classes)
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
                CorruptedAccuracy(
                    corruption.name,
                    strength,
                    corruption.unit,
                    int(is_right.sum()) / len(sample),
                    *_balanced(is_right, sample.labels, num_classes),
                )
            )
    shares = times_right.double().numpy() / len(rows)
    mean_balanced_interval = None
    if num_classes is not None:
        mean_balanced_interval = balanced_interval_of_shares(
            shares, sample.labels.numpy(), num_classes=num_classes, num_parts=len(rows)
        )
    return Robustness(
        len(sample),
        seed,
        accuracy,
        tuple(rows),
        clustered_interval(shares, np.arange(len(sample)), num_parts=len(rows)),
        *balanced,
        mean_balanced_interval,
    )


def _as_they_are(
    model: nn.Module, dataset: Dataset, decision: Decision | LabelDecision | None
) -> tuple[float, Bool[Tensor, " n"]]:
    """The accuracy of the test images as they are, and whether each is answered right."""
    if dataset.has_several_labels:
        assert not isinstance(decision, Decision)
        of_labels = evaluate_labels(model, dataset, decision=decision)
        return of_labels.accuracy, of_labels.predictions.right
    assert not isinstance(decision, LabelDecision)
    evaluation = evaluate(model, dataset, decision=decision)
    return evaluation.accuracy, evaluation.predictions.right


def _balanced(
    right: Bool[Tensor, " n"], labels: Int64[Tensor, " n"] | UInt8[Tensor, "n k"], num_classes: int | None
) -> tuple[float | None, Interval | None]:
    """The balanced accuracy with its interval; twice None where there is none, as with several labels."""
    if num_classes is None:
        return None, None
    return balanced_accuracy_of(right.numpy(), labels.numpy(), num_classes=num_classes) or (None, None)


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
