"""Under which licence a trained model is. Without PyTorch."""

from __future__ import annotations

from thumbnet.trained.shippable import Shippable

OF_THE_PACKAGE = "MIT"
NOT_STATED = "not stated"


def licence_of(shippable: Shippable) -> str:
    """That of the package for the trained models that come with it; whoever trained another one decides."""
    return OF_THE_PACKAGE if shippable.run_path is None else NOT_STATED
