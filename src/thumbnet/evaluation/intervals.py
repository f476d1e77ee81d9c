"""How sure a measured accuracy is. Without SciPy, which a light installation lacks."""

from __future__ import annotations

import math
from statistics import NormalDist

CONFIDENCE_LEVEL = 0.95


def accuracy_interval(accuracy: float, num_images: int) -> tuple[float, float]:
    """Wilson's interval, at CONFIDENCE_LEVEL, of an accuracy (a fraction) that was measured on so many images.

    Source: Wilson, "Probable Inference, the Law of Succession, and Statistical Inference" (1927).
    """
    z = NormalDist().inv_cdf((1 + CONFIDENCE_LEVEL) / 2)
    spread = z * z / num_images
    centre = (accuracy + spread / 2) / (1 + spread)
    arm = z * math.sqrt(accuracy * (1 - accuracy) / num_images + spread / (4 * num_images)) / (1 + spread)
    return max(0.0, centre - arm), min(1.0, centre + arm)
