"""When a model's answer is "unknown": the picture is far from everything that it was trained on. Without PyTorch.

Distances are of features, the means of the network's last maps, which its head sees. Each feature counts in units of
its deviation within the classes (Mahalanobis's distance with a diagonal covariance that all classes share).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

UNKNOWN = "unknown"  # the answer's text; a class may be called so, too
MOST_VALUES = 4096  # numbers of means, so that they take some kilobytes in a card
LARGEST = 1e9  # of a card's numbers, and 1 / LARGEST the smallest deviation, so that every export can hold them


@dataclass(frozen=True)
class Unknown:
    """The answer is unknown where the features lie further than `limit` from the nearest of `means`.

    `means` [K][D] are those of each class's training images, and `deviations` [D] those within the classes. The limit
    was picked so that a fraction `share` of `num_images` validation images lies beyond; `num_unknown` did.
    """

    means: tuple[tuple[float, ...], ...]
    deviations: tuple[float, ...]
    limit: float
    share: float
    num_images: int
    num_unknown: int

    def describe(self) -> str:
        """The rule in words, for people."""
        return (
            f"{UNKNOWN!r} where a picture is further than {self.limit:.4g} deviations from the mean of every class, as "
            f"{self.num_unknown:,} of {self.num_images:,} validation images are"
        )


def distances_to_means(
    features: Float[np.ndarray, "n d"], means: Float[np.ndarray, "k d"], deviations: Float[np.ndarray, " d"]
) -> Float[np.ndarray, " n"]:
    """The distance of each image's features to the nearest mean, in deviations."""
    points, centres = features.astype(np.float64) / deviations, means / deviations
    squares = np.stack([((points - centre) ** 2).sum(axis=1) for centre in centres])
    found: Float[np.ndarray, " n"] = np.sqrt(squares.min(axis=0))
    return found


def distances_by(unknown: Unknown, features: Float[np.ndarray, "n d"]) -> Float[np.ndarray, " n"]:
    """The distances that the rule compares with its limit."""
    return distances_to_means(features, np.array(unknown.means), np.array(unknown.deviations))


def unknown_answers(unknown: Unknown | None, distances: Float[np.ndarray, " n"]) -> Bool[np.ndarray, " n"]:
    """Which images are answered so, by their distances; without the rule none."""
    found: Bool[np.ndarray, " n"] = distances > (np.inf if unknown is None else unknown.limit)
    return found


def contradiction_of_unknown(unknown: Unknown, *, num_classes: int, num_features: int | None) -> str:
    """What cannot be true of the rule of a model with so many classes and last maps, None if it has no such maps; an
    empty text where all can."""
    counts, deviations = (unknown.num_unknown, unknown.num_images), unknown.deviations
    numbers = [value for mean in unknown.means for value in mean]
    checks = {
        "it has unknown, but is no network of blocks": num_features is not None,
        f"unknown.deviations are of {len(deviations)} features, not {num_features}": len(deviations) == num_features,
        f"unknown.means are of {len(unknown.means)} classes, not {num_classes}": len(unknown.means) == num_classes,
        f"unknown.means are not of {num_features} features": {len(mean) for mean in unknown.means} == {num_features},
        f"unknown.means are {len(numbers):,} numbers, and {MOST_VALUES:,} are the most": len(numbers) <= MOST_VALUES,
        f"one of unknown.means is beyond {LARGEST:g}": max(map(abs, numbers), default=0.0) <= LARGEST,
        f"one of unknown.deviations is below {1 / LARGEST:g}": min(deviations, default=0.0) >= 1 / LARGEST,
        f"one of unknown.deviations is beyond {LARGEST:g}": max(deviations, default=0.0) <= LARGEST,
        f"unknown.limit is {unknown.limit}": 0 < unknown.limit <= LARGEST,
        f"unknown.share is {unknown.share}": 0 < unknown.share < 1,
        f"{counts[0]} of {counts[1]} images were answered with {UNKNOWN!r}": 0 <= counts[0] < counts[1],
    }
    return next((reason for reason, holds in checks.items() if not holds), "")
