"""What an ONNX file says of its model, as texts by name. Without the package onnx."""

from __future__ import annotations

import json

from thumbnet.data.white_levels import describe_white
from thumbnet.evaluation.figure_names import or_balanced
from thumbnet.export.licence import licence_of
from thumbnet.export.onnx.names import CARD
from thumbnet.export.public_card import public_card
from thumbnet.models.card import answer_rule, card_to_dict
from thumbnet.trained.shippable import Shippable

INPUT = "uint8 pixels 0..255, [N,height,width,channels]; normalisation is inside"
LETTERBOXED = "; pictures of another shape are shrunk whole, with grey (128) around them"


def properties_of(shippable: Shippable) -> dict[str, str]:
    """The metadata of a model; lists and the card are JSON in ASCII, so that no letter of a name can do harm."""
    card = public_card(shippable.card)
    rule, white = answer_rule(card), describe_white(card.white_levels)
    return {
        "name": _printable(shippable.name),
        "model": _printable(card.model),
        "class_names": json.dumps(card.class_names),
        "input": INPUT + (f"; {white}" if white else "") + (LETTERBOXED if card.fit == "letterbox" else ""),
        "mean": json.dumps(card.mean),
        "std": json.dumps(card.std),
        "recipe": _printable(card.recipe),
        "data": _printable(card.data_description),
        "accuracy": _accuracy(shippable),
        "license": licence_of(shippable),
        **({"answers": json.dumps(rule)} if rule else {}),
        CARD: json.dumps(card_to_dict(card), allow_nan=False, separators=(",", ":")),
    }


def _accuracy(shippable: Shippable) -> str:
    """That of the original model."""
    metrics = shippable.card.metrics
    if metrics is None or "test_accuracy" not in metrics:
        return "not recorded"
    right = " (all labels right)" if shippable.card.has_several_labels else ""
    num_images = metrics.get("num_test", shippable.card.num_test)
    balanced = or_balanced(metrics["test_accuracy"], metrics.get("test_balanced_accuracy"))
    return f"{metrics['test_accuracy']:.2%} of {num_images:,.0f} test images{right}{balanced}"


def _printable(text: str) -> str:
    """As JSON writes it, without the quotes: ASCII in one line."""
    return json.dumps(text)[1:-1]
