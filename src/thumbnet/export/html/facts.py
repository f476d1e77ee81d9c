"""What the page says about the model: data, accuracy, calibration, size and limits. Without PyTorch."""

from __future__ import annotations

from dataclasses import dataclass

from thumbnet.evaluation.intervals import accuracy_interval
from thumbnet.export.licence import licence_of
from thumbnet.export.public_card import public_card
from thumbnet.models.card import ModelCard, answer_rule
from thumbnet.models.unknown import UNKNOWN
from thumbnet.models.unsure import UNSURE
from thumbnet.trained.shippable import Shippable


@dataclass(frozen=True)
class Headline:
    """A figure with its label and, in small letters, its note."""

    label: str
    value: str
    note: str


def headlines(shippable: Shippable) -> list[Headline]:
    """The figures that come first."""
    card = shippable.card
    return [
        _accuracy(card),
        _calibration(card),
        Headline(
            "Labels" if card.has_several_labels else "Classes", f"{len(card.class_names):,}", _other_answers(card)
        ),
        Headline("Parameters", f"{card.num_params:,}", _work(shippable)),
    ]


def facts(shippable: Shippable) -> list[tuple[str, str]]:
    """The rest, by name, without the folders of the machine that the model was trained on."""
    card = public_card(shippable.card)
    channels, height, width = card.image_shape
    pictures = [f"{card.num_train:,} for training"]
    if card.num_val:
        pictures.append(f"{card.num_val:,} for validation{' (trained on in the end, too)' * card.refit}")
    pictures.append(f"{card.num_test:,} for the test")
    rows = [
        ("Data", card.data_description or card.data),
        ("Pictures", ", ".join(pictures)),
        ("Sees", f"{width}x{height} pixels {'in colour' if channels == 3 else 'in grey'}"),
        ("Network", card.model),
        ("Recipe", card.recipe),
        ("Licence", licence_of(shippable)),
        ("Over the labels" if card.has_several_labels else "Over the classes", _over_classes(card)),
        ("Answers", answer_rule(card)),
    ]
    return [(name, value) for name, value in rows if value]


def _accuracy(card: ModelCard) -> Headline:
    metrics = card.metrics or {}
    if "test_accuracy" not in metrics:
        return Headline("Test accuracy", "unknown", "this model was saved without it")
    accuracy, num_images = metrics["test_accuracy"], int(metrics.get("num_test", card.num_test))
    if not num_images:
        return Headline("Test accuracy", _per_cent(accuracy), "")
    low, high = accuracy_interval(accuracy, num_images)
    right = "all labels right, " if card.has_several_labels else ""
    note = f"{right}of {num_images:,} test pictures; 95 % interval {_per_cent(low)} to {_per_cent(high)}"
    return Headline("Test accuracy", _per_cent(accuracy), note)


def _other_answers(card: ModelCard) -> str:
    if card.has_several_labels:
        return "several of a picture, or none"
    reasons = {UNSURE: "where none is likely", UNKNOWN: "for pictures unlike theirs"}
    others = [f"or {word!r}, {reason}" for word, reason in reasons.items() if word in card.other_answers]
    return ", ".join(others) or "and no answer beside them"


def _over_classes(card: ModelCard) -> str:
    """What says more than the accuracy where classes are unequal; empty for models from before it was kept."""
    metrics = card.metrics or {}
    if card.has_several_labels and "test_macro_f1" in metrics:
        return f"macro F1 {_per_cent(metrics['test_macro_f1'])}, micro F1 {_per_cent(metrics['test_micro_f1'])}"
    if "test_balanced_accuracy" not in metrics:
        return ""
    balanced, share = _per_cent(metrics["test_balanced_accuracy"]), _per_cent(metrics["commonest_share"])
    return f"balanced accuracy {balanced}; always the commonest class: accuracy {share}"


def _calibration(card: ModelCard) -> Headline:
    metrics = card.metrics or {}
    if "ece" not in metrics:
        return Headline("Calibration error", "unknown", "this model was saved without it")
    known = "has the label" if card.has_several_labels else "is right"
    note = f"how far its probabilities are from the share that {known}, on average"
    return Headline("Calibration error", _per_cent(metrics["ece"]), note)


def _work(shippable: Shippable) -> str:
    assert shippable.program is not None
    return f"{shippable.program.macs / 1e6:,.1f} million multiplications a picture"


def _per_cent(fraction: float) -> str:
    return f"{100 * fraction:.1f} %"
