"""What a model gives: logits [N,K]."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from thumbnet.errors import ModelError


def check_num_classes(logits: Float[Tensor, "n k"], num_classes: int) -> None:
    """ModelError if a model has another number of classes than the dataset."""
    if logits.shape[1] != num_classes:
        raise ModelError(
            f"the model has {logits.shape[1]} classes, but the dataset {num_classes}",
            hint=f"create the model with num_classes={num_classes}",
        )
