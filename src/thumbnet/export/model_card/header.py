"""The YAML that the Hugging Face Hub reads at the beginning of a model card.

Its keys: huggingface.co/docs/hub/model-cards, and `modelcard.md` of the repository huggingface/hub-docs.
"""

from __future__ import annotations

from typing import Any

from thumbnet.export.licence import NOT_STATED, licence_of
from thumbnet.export.model_card.facts import is_private, short_source
from thumbnet.export.model_card.text import to_yaml
from thumbnet.trained.shippable import Shippable

TASK = "image-classification"
LIBRARY = "thumbnet"
HUB_DATASETS = {"cifar10": "uoft-cs/cifar10", "cifar100": "uoft-cs/cifar100"}  # their names on the Hub


def header(shippable: Shippable) -> str:
    """The whole header, with the lines that enclose it."""
    card, licence = shippable.card, licence_of(shippable)
    values: dict[str, Any] = {} if licence == NOT_STATED else {"license": licence.lower()}
    values |= {"library_name": LIBRARY, "pipeline_tag": TASK, "tags": [TASK, LIBRARY, "tinyml"]}
    if card.data in HUB_DATASETS:
        values["datasets"] = [HUB_DATASETS[card.data]]
    values["metrics"] = ["accuracy"]
    if card.metrics is not None:
        values["model-index"] = [{"name": shippable.name, "results": [_result(shippable)]}]
    return f"---\n{to_yaml(values)}\n---"


def _result(shippable: Shippable) -> dict[str, Any]:
    card = shippable.card
    assert card.metrics is not None
    metrics: list[dict[str, Any]] = [
        {"type": "accuracy", "name": "Accuracy", "value": card.metrics["test_accuracy"]},
    ]
    if "ece" in card.metrics:
        metrics.append({"type": "ece", "name": "Expected calibration error", "value": card.metrics["ece"]})
    return {
        "task": {"type": TASK, "name": "Image Classification"},
        "dataset": {
            "type": HUB_DATASETS.get(card.data, card.data.partition(":")[0]),
            "name": short_source(card.data) if is_private(card.data) else card.data,
            "split": "test",
        },
        "metrics": metrics,
    }
