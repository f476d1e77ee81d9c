"""Filters rounded to integers so that a filter's errors cancel for the inputs that it sees, not each by itself.

What a layer sees is described by the second moments of its inputs: the mean of x_i * x_j for each pair of a filter's
inputs, whose quadratic form the squared error of the output is. They are those of trained networks in general: of a
map's channels, the mean and the spread are known shares of the range, and neighbours are alike. No images are needed.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

MEAN, SPREAD = 0.07, 0.10  # of a SiLU output's range: medians of trained networks, on training images
EQUAL_MEAN, EQUAL_SPREAD = 0.08, 0.14  # of an equalised pointwise output's range
NEIGHBOUR_CORRELATION = 0.7  # of pixels side by side
RIDGE = 1e-3  # of the mean diagonal, so that a matrix can be inverted


def moments_of_maps(
    ranges: Float[np.ndarray, " c"], side: int, dilation: int, *, mean_share: float, spread_share: float
) -> Float[np.ndarray, "n n"]:
    """Those of patches of `side` x `side` pixels of a map whose channels have these ranges, in the order of a filter
    [c, side, side]."""
    rows, columns = np.divmod(np.arange(side * side), side)
    steps = np.abs(rows[:, None] - rows) + np.abs(columns[:, None] - columns)
    alike = NEIGHBOUR_CORRELATION ** (dilation * steps)
    num_channels = len(ranges)
    means = np.outer(ranges, ranges) * mean_share**2
    spreads = np.diag(ranges.astype(np.float64) ** 2) * spread_share**2
    taps = np.ones((side * side, side * side))
    size = num_channels * side * side
    return np.asarray(np.kron(means, taps) + np.kron(spreads, alike)).reshape(size, size)


def moments_of_pixels(filters: Float[np.ndarray, "k c a b"]) -> Float[np.ndarray, "n n"]:
    """Those of image patches, which whitening filters make uncorrelated and equal: the inverse of the filters' product
    with themselves, up to a factor, which does not matter.

    Filters come with their negatives, so there may be too few for all directions of a patch. Images vary less along the
    directions that are then left out: as much is assumed as along the least of the others.
    """
    flat = filters.reshape(len(filters), -1).astype(np.float64)
    product = flat.T @ flat
    if len(flat) < 2 * flat.shape[1]:
        squares, directions = np.linalg.eigh(product)
        largest = squares[-1] if squares[-1] > 0 else 1.0
        squares = np.where(squares > RIDGE * largest, squares, largest)
        few: Float[np.ndarray, "n n"] = (directions / squares) @ directions.T
        return few
    product += np.eye(len(product)) * RIDGE * np.trace(product) / len(product)
    moments: Float[np.ndarray, "n n"] = np.linalg.inv(product)
    return moments


def round_filters(
    values: Float[np.ndarray, "k n"], moments: Float[np.ndarray, "n n"], *, most: int
) -> Float[np.ndarray, "k n"]:
    """Each number rounded down or up, from -most to most, so that the quadratic form of a row's errors is small.

    It begins with the nearest integers, and then turns round the number of each row that gains most, while any gains.
    """
    rounded = np.clip(np.rint(values), -most, most)
    other = np.clip(np.where(rounded > values, rounded - 1, rounded + 1), -most, most)
    slopes = (rounded - values) @ moments  # of the quadratic form, halved
    rows = np.arange(len(values))
    diagonal = np.diag(moments)
    for _ in range(2 * values.shape[1]):
        steps = other - rounded
        gains = -(2 * steps * slopes + steps**2 * diagonal)
        best = gains.argmax(axis=1)
        gaining = rows[gains[rows, best] > 1e-12 * np.abs(diagonal).max()]
        if not len(gaining):
            break
        chosen = best[gaining]
        slopes[gaining] += steps[gaining, chosen][:, None] * moments[chosen]
        kept = rounded[gaining, chosen].copy()
        rounded[gaining, chosen] = other[gaining, chosen]
        other[gaining, chosen] = kept
    return np.asarray(rounded)
