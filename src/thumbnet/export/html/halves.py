"""Matrices in half precision, with a scale for each row that loses as little as possible. Without PyTorch.

The filters of the models that come with the package are kept in half precision. Folding a norm into them multiplies
each row by some number, after which they are half precision no more, but they are again once they are divided by that
number. It is found by trying: one of the 1,024 numbers of half precision from 1 to 2 is what the row's largest number
was. Weights that never were of half precision lose the least that one of these scales leaves.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Float16, Float32

CANDIDATES = 1 + np.arange(1024) / 1024  # what a row's largest number may have been, except for a power of two
NUM_TRIED = 6  # numbers of a row, its largest, that all candidates are tried on
NUM_KEPT = 8  # candidates of a row that are tried on all its numbers
ROWS_AT_ONCE = 64


def to_halves(
    matrix: Float[np.ndarray, "k depth"],
) -> tuple[Float16[np.ndarray, "k depth"], Float32[np.ndarray, " k"]]:
    """Numbers below 2 in half precision, and a scale for each row, whose product with them is nearly `matrix`."""
    exact = matrix.astype(np.float64)
    scales = np.concatenate(
        [_best_scales(exact[start : start + ROWS_AT_ONCE]) for start in range(0, len(exact), ROWS_AT_ONCE)]
    ).astype(np.float32)
    return (exact / scales[:, None]).astype(np.float16), scales


def _best_scales(rows: Float[np.ndarray, "k depth"]) -> Float[np.ndarray, " k"]:
    """Of each row; 1 where all is 0."""
    order = np.argsort(-np.abs(rows), axis=1)[:, :NUM_TRIED]
    tried = np.take_along_axis(rows, order, axis=1)
    largest = np.abs(tried[:, :1])
    scales = np.where(largest > 0, largest, 1) / CANDIDATES  # [k, candidates]
    kept = np.argsort(_losses(tried, scales), axis=1, kind="stable")[:, :NUM_KEPT]
    scales = np.take_along_axis(scales, kept, axis=1)
    best = np.argmin(_losses(rows, scales), axis=1)
    chosen: Float[np.ndarray, " k"] = np.where(largest[:, 0] > 0, scales[np.arange(len(rows)), best], 1.0)
    return chosen


def _losses(rows: Float[np.ndarray, "k depth"], scales: Float[np.ndarray, "k n"]) -> Float[np.ndarray, "k n"]:
    """The sum of squares of what half precision loses of each row with each scale."""
    divided = (rows[:, None] / scales[:, :, None]).astype(np.float32)
    lost = divided - divided.astype(np.float16).astype(np.float32)
    losses: Float[np.ndarray, "k n"] = np.square(lost).sum(axis=2).astype(np.float64) * np.square(scales)
    return losses
