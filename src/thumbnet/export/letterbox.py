"""Which formats take letterboxed pictures. Without PyTorch."""

from __future__ import annotations

from thumbnet.errors import ExportError
from thumbnet.trained.shippable import Shippable


def refuse_letterbox(shippable: Shippable, what: str) -> None:
    """ExportError where the model's pictures are letterboxed, and `what`, which cuts pictures, cannot do that."""
    if shippable.card.fit == "letterbox":
        raise ExportError(
            f"the model's pictures are letterboxed, and {what} cuts them instead",
            hint='train with fit = "crop"; or export to onnx or tflite, which take pictures as they are prepared',
        )
