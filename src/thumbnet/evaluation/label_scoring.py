"""Scoring a model on a split whose images may have several labels, or none."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from jaxtyping import Float
from torch import Tensor, nn

from thumbnet.data.dataset import Dataset
from thumbnet.errors import ConfigError, NonFiniteLogitsError
from thumbnet.evaluation.label_predictions import LabelPredictions
from thumbnet.evaluation.multi_label import LabelEvaluation
from thumbnet.evaluation.predictions import predict_logits
from thumbnet.models.label_decision import LabelDecision
from thumbnet.models.outputs import check_num_classes


def evaluate_labels(
    model: nn.Module, dataset: Dataset, split: str = "test", *, decision: LabelDecision | None = None
) -> LabelEvaluation:
    """Score every image of a split, as `evaluate` does, where images may have several labels.

    Raises:
        ConfigError: no such split; ModelError: the model has another number of classes than the dataset;
            NonFiniteLogitsError: it gives NaN or infinity.
    """
    logits = predict_logits(model, dataset.split(split).images, mean=dataset.mean, std=dataset.std)
    return score_labels(logits, dataset, split, decision=decision)


def score_labels(
    logits: Float[Tensor, "n k"], dataset: Dataset, split: str, *, decision: LabelDecision | None
) -> LabelEvaluation:
    """Score logits of every image of a split; errors are those of `evaluate_labels`."""
    check_num_classes(logits, dataset.num_classes)
    num_broken = int((~logits.isfinite()).any(dim=1).sum())
    if num_broken:
        raise NonFiniteLogitsError(
            f"the model's logits of {num_broken:,} of {len(logits):,} images are not finite: NaN or infinite",
            hint="train it again with a lower learning rate: its weights, or the maps that they give, are too large",
        )
    return LabelEvaluation(split, dataset.class_names, LabelPredictions(logits, dataset.split(split).labels, decision))


def label_scorers(dataset: Dataset, *splits: str) -> dict[str, Callable[[nn.Module], LabelEvaluation]]:
    """Functions that evaluate a model on these splits, for `fit` to call after every epoch.

    Raises:
        ConfigError: no such split, or `train`, which the history tells of anyway.
    """
    for split in splits:
        if split == "train":
            raise ConfigError("score has 'train', which the history tells of anyway", hint="score val or test")
        dataset.split(split)
    return {split: partial(_evaluate_on, dataset, split) for split in splits}


def _evaluate_on(dataset: Dataset, split: str, model: nn.Module) -> LabelEvaluation:
    return evaluate_labels(model, dataset, split)
