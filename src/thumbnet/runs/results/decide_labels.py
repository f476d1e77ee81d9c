"""The label decision of a trained model whose pictures may have several labels: a threshold a label, picked on the
validation images."""

from __future__ import annotations

from thumbnet.config import TrainConfig
from thumbnet.data.class_counts import class_sizes
from thumbnet.data.dataset import Dataset
from thumbnet.errors import ConfigError, DataError
from thumbnet.evaluation.label_predictions import LabelPredictions
from thumbnet.evaluation.thresholds import margin_for_f1, margin_for_recall
from thumbnet.models.decision import margin_of
from thumbnet.models.label_decision import LabelDecision, halves

MIN_IMAGES = 10  # of the validation images, with a label and without it, of which its threshold is picked


def check_label_decisions(config: TrainConfig, dataset: Dataset) -> None:
    """Raise now what `decide_labels` would raise after the training.

    Raises:
        ConfigError: what is only of two classes, or no validation images; DataError: no label has enough of these.
    """
    decisions = config.decisions
    of_one_label = {
        "positive": decisions.positive,
        "costs": decisions.costs,
        "unsure": None if isinstance(decisions.unsure, str) else decisions.unsure,
        "unknown": decisions.share_unknown,
    }
    for name, value in of_one_label.items():
        if value is not None:
            raise ConfigError(
                f"{name} is given, but a picture may have several labels",
                hint=f"leave {name} out: threshold or recall hold for every label",
            )
    if decisions.threshold not in ("f1", "recall"):
        return
    if dataset.val is None:
        raise ConfigError(
            f"threshold is {decisions.threshold!r}, which is picked on validation images, but none are held out",
            hint="set val_fraction above 0, or give threshold as a number",
        )
    if not any(_can_be_picked(size, len(dataset.val)) for size in class_sizes(dataset.val.labels, dataset.num_classes)):
        raise DataError(
            f"no label has {MIN_IMAGES} validation images with it and {MIN_IMAGES} without, which a threshold needs",
            hint="raise val_fraction, or give threshold as a number",
        )


def decide_labels(config: TrainConfig, held_out: LabelPredictions | None, *, num_classes: int) -> LabelDecision:
    """The decision that the config asks for, picked on `held_out`, the predictions of the validation images.

    Without a rule every label is answered from one half on; by a rule, so is one that has too few of these images.
    """
    decisions = config.decisions
    if decisions.threshold == "none":
        return halves(num_classes)
    if not isinstance(decisions.threshold, str):
        return LabelDecision((margin_of(decisions.threshold),) * num_classes, rule="given")
    assert held_out is not None  # `check_label_decisions`
    margins, at_half = [], []
    for label, size in enumerate(class_sizes(held_out.labels, num_classes)):
        curves = held_out.curves(label)
        if curves is None or not _can_be_picked(size, len(held_out.labels)):
            margins.append(0.0)
            at_half.append(label)
        elif decisions.recall is not None:
            margins.append(margin_for_recall(curves, decisions.recall))
        else:
            margins.append(margin_for_f1(curves))
    rule = "f1" if decisions.recall is None else f"recall {decisions.recall:g}"
    return LabelDecision(tuple(margins), rule=rule, num_images=len(held_out.labels), at_half=tuple(at_half))


def _can_be_picked(num_with: int, num_images: int) -> bool:
    return MIN_IMAGES <= num_with <= num_images - MIN_IMAGES
