"""The checks of the tests themselves: shapes in signatures are compared, in aliases too, and all other types are."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from jaxtyping import TypeCheckError

from thumbnet.data.batches import normalise
from thumbnet.views.figure import display_images, line_height_px


def test_shapes_are_compared_and_other_types_checked() -> None:
    with pytest.raises(TypeCheckError):
        normalise(torch.zeros(3, 32, 32, dtype=torch.uint8), (0.5,) * 3, (0.5,) * 3)
    with pytest.raises(TypeCheckError):
        display_images(np.zeros((3, 32, 32), np.uint8))
    with pytest.raises(TypeError):
        line_height_px("large")  # type: ignore[arg-type]
