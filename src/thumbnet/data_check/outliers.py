"""Images that are like no other: far from their nearest neighbours in the features of a network that never saw them.

Distances of pixels will not do: a fine photograph with a busy background is far from all others. Nor does low
confidence: it finds images between two classes. The features are the inputs of the last layer.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int64
from sklearn.neighbors import NearestNeighbors

NUM_NEIGHBOURS = 10
# In deviations of the logarithm, robustly estimated: of 50,000 values in a bell curve 16 lie above.
MAX_DEVIATIONS = 3.4
DEVIATION_OF_MEDIAN = 1.4826  # a bell curve's deviation over the median of its absolute deviations


def outlyingness(features: Float[np.ndarray, "n d"]) -> Float[np.ndarray, " n"]:
    """Each image's distance to its tenth nearest neighbour, divided by the median of the non-zero ones (0: a copy).

    Distances are Euclidean: with cosine distances half of the outliers planted in the digits were missed, since
    features may be far too strong as well as odd. The values are relative, so several networks' can be averaged.
    """
    num_neighbours = min(NUM_NEIGHBOURS, len(features) - 1)
    assert num_neighbours >= 1
    distances, _ = NearestNeighbors(algorithm="brute").fit(features).kneighbors(n_neighbors=num_neighbours)
    farthest = distances[:, -1]
    apart = farthest[farthest > 0]
    return np.asarray(farthest / (np.median(apart) if len(apart) else 1.0), dtype=np.float64)


def find_outliers(relative_distances: Float[np.ndarray, " n"]) -> Int64[np.ndarray, " m"]:
    """Indices of the images whose log-distance is more than MAX_DEVIATIONS robust deviations above the median, the
    farthest first; exact copies, at distance 0, are left out."""
    apart = relative_distances > 0
    if not apart.any():
        return np.empty(0, dtype=np.int64)
    logs = np.log(relative_distances[apart])
    middle = np.median(logs)
    deviation = DEVIATION_OF_MEDIAN * np.median(np.abs(logs - middle))
    far = np.flatnonzero(apart)[logs > middle + MAX_DEVIATIONS * deviation]
    return np.asarray(far[np.argsort(-relative_distances[far], kind="stable")], dtype=np.int64)
