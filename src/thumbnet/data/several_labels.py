"""What is only for images of one label each, refused for others."""

from __future__ import annotations

from thumbnet.data.dataset import Dataset
from thumbnet.errors import ConfigError


def refuse_several_labels(dataset: Dataset, what: str, *, hint: str) -> None:
    """ConfigError where an image may have several labels; `what` is what was given, as a sentence."""
    if dataset.has_several_labels:
        raise ConfigError(f"{what}, but an image may have several labels", hint=hint)
