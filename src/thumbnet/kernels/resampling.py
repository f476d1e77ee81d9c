"""The weights by which one side of an image is resized, as PyTorch computes them for images of bytes on a CPU."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from jaxtyping import Int32
from torch import Tensor

MAX_PRECISION = 22
WEIGHT_BITS = 15  # PyTorch's weights are int16


@dataclass(frozen=True)
class Resampling:
    """A side's results, each a sum of neighbouring pixels whose weights are multiples of 1 / (1 << precision).

    `sums` has a row for each: the first pixel, the number of pixels, and their weights, with zeros up to `taps`.
    """

    sums: Int32[Tensor, "results columns"]
    precision: int

    @property
    def taps(self) -> int:
        return self.sums.shape[1] - 2


@lru_cache
def bilinear_resampling(size: int, result_size: int) -> Resampling:
    """Bilinear interpolation with antialiasing of `size` pixels to `result_size`.

    As in PyTorch: a triangle as wide as two pixels, of the result where that is smaller; in double precision, in the
    same order; then integers with as many bits as the largest weight leaves.
    """
    scale = size / result_size
    support = max(scale, 1.0)
    rows: list[tuple[int, list[float]]] = []
    for index in range(result_size):
        centre = scale * (index + 0.5)
        first = max(int(centre - support + 0.5), 0)
        last = min(int(centre + support + 0.5), size)
        distances = [abs((pixel - centre + 0.5) * (1.0 / support)) for pixel in range(first, last)]
        weights = [1.0 - distance if distance < 1.0 else 0.0 for distance in distances]
        total = 0.0
        for weight in weights:  # not `sum`, which is more precise from Python 3.12 on
            total += weight
        rows.append((first, [weight / total for weight in weights]))
    largest = max(max(weights) for _, weights in rows)
    precision = 0
    while precision < MAX_PRECISION and int(0.5 + largest * (1 << (precision + 1))) < 1 << WEIGHT_BITS:
        precision += 1
    sums = torch.zeros(result_size, 2 + max(len(weights) for _, weights in rows), dtype=torch.int32, device="cpu")
    for row, (first, weights) in zip(sums, rows, strict=True):
        integers = [int(0.5 + weight * (1 << precision)) for weight in weights]
        row[: 2 + len(weights)] = torch.tensor([first, len(weights), *integers], dtype=torch.int32, device="cpu")
    return Resampling(sums, precision)
