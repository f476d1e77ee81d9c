"""Images that are like no other: far from their nearest neighbours in the features of a network that never saw them.

Distances of pixels will not do: a fine photograph with a busy background is far from all others. Nor does low
confidence: it finds images between two classes. The features are the inputs of the last layer.

How far is too far depends on the class: one of defects is more varied than one of intact things, and by a limit for all
its images would be most of the outliers. The neighbours are of any class: an image with a wrong label lies among those
of its true class, and is no outlier.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int64
from sklearn.neighbors import NearestNeighbors

NUM_NEIGHBOURS = 10
# In deviations of the logarithm, robustly estimated: of 50,000 values in a bell curve 16 lie above.
MAX_DEVIATIONS = 3.4
DEVIATION_OF_MEDIAN = 1.4826  # a bell curve's deviation over the median of its absolute deviations
MIN_IMAGES = 30  # of a class, by which its own deviation is known; that of smaller classes is pooled over all


def outlyingness(features: Float[np.ndarray, "n d"], labels: Int64[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Each image's distance to its tenth nearest neighbour, divided by the median of the non-zero ones of its class
    (0: a copy).

    Distances are Euclidean: with cosine distances half of the outliers planted in the digits were missed, since
    features may be far too strong as well as odd. The values are relative, so several networks' can be averaged.
    All are compared with all, in blocks: the time grows with the square of their number, the memory with their number.
    """
    num_neighbours = min(NUM_NEIGHBOURS, len(features) - 1)
    assert num_neighbours >= 1
    distances, _ = NearestNeighbors(algorithm="brute").fit(features).kneighbors(n_neighbors=num_neighbours)
    farthest = distances[:, -1]
    relative = np.zeros(len(farthest))
    for label in np.unique(labels):
        members = labels == label
        apart = farthest[members & (farthest > 0)]
        relative[members] = farthest[members] / (np.median(apart) if len(apart) else 1.0)
    return relative


def find_outliers(
    relative_distances: Float[np.ndarray, " n"], labels: Int64[np.ndarray, " n"]
) -> Int64[np.ndarray, " m"]:
    """Indices of the images whose log-distance is more than MAX_DEVIATIONS robust deviations above the median of their
    class, the farthest first; exact copies, at distance 0, are left out."""
    apart = np.flatnonzero(relative_distances > 0)
    if not len(apart):
        return np.empty(0, dtype=np.int64)
    logs, of_class = np.log(relative_distances[apart]), labels[apart]
    above = np.zeros(len(apart))
    for label in np.unique(of_class):
        members = of_class == label
        above[members] = logs[members] - np.median(logs[members])
    deviations = np.full(len(apart), np.median(np.abs(above)))
    for label in np.unique(of_class):
        members = of_class == label
        if members.sum() >= MIN_IMAGES:
            deviations[members] = np.median(np.abs(above[members]))
    far = apart[above > MAX_DEVIATIONS * DEVIATION_OF_MEDIAN * deviations]
    return np.asarray(far[np.argsort(-relative_distances[far], kind="stable")], dtype=np.int64)
