"""What a writer of one format is given, and what it gives back. Without PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int64, UInt8

from thumbnet.trained.shippable import Shippable

Say = Callable[[str], None]


@dataclass(frozen=True)
class CheckImages:
    """Images uint8 [N,C,H,W] with labels that an exported model is checked on, and the original model's logits."""

    description: str  # such as "10,000 test images" or "20 sample pictures of the test split"
    images: UInt8[np.ndarray, "n c h w"]
    labels: Int64[np.ndarray, " n"]
    logits: Float[np.ndarray, "n k"]

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class ExportRequest:
    """One export.

    Args:
        out: the file, or for `c` the folder, to write.
        max_drop: the most accuracy (a fraction) that quantisation may cost, judged on `held_out`.
        held_out: validation images, or training images that were not used for calibration; None without data.
        test: the test split, or without data the sample pictures; scores on it are reported and decide nothing, but
            disagreement of a float format is refused.
        target: `frigate` or `openmv` for tflite, else None.
        say: gets sentences for people.
    """

    shippable: Shippable
    out: Path
    max_drop: float
    held_out: CheckImages | None
    test: CheckImages
    has_data: bool
    target: str | None = None
    say: Say = field(default=lambda text: None)


@dataclass(frozen=True)
class Agreement:
    """An exported model against the original on some images.

    `agreement` is the share of images with the same class; `accuracy` and `original_accuracy` are fractions.
    """

    description: str
    num_images: int
    agreement: float
    max_difference: float  # of any probability
    accuracy: float
    original_accuracy: float

    @property
    def drop(self) -> float:
        """How much accuracy was lost, a fraction; negative where some was won."""
        return self.original_accuracy - self.accuracy


@dataclass(frozen=True)
class ExportResult:
    """What was written. `files` are all of it, the first one the main one; `checks` are on held-out images, if there
    are any, and on the test images or samples, in that order; `details` are the format's own facts for people and
    programs."""

    format: str
    path: Path
    files: tuple[Path, ...]
    num_bytes: int
    checks: tuple[Agreement, ...]
    details: Mapping[str, str | int | float | None] = field(default_factory=dict)


def softmax(logits: Float[np.ndarray, "n k"]) -> Float[np.ndarray, "n k"]:
    """Probabilities, in double precision."""
    powers = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    probabilities: Float[np.ndarray, "n k"] = powers / powers.sum(axis=1, keepdims=True)
    return probabilities


def compare(images: CheckImages, logits: Float[np.ndarray, "n k"]) -> Agreement:
    """An exported model's logits against the original's."""
    predicted, original = logits.argmax(axis=1), images.logits.argmax(axis=1)
    return Agreement(
        description=images.description,
        num_images=len(images),
        agreement=float((predicted == original).mean()),
        max_difference=float(np.abs(softmax(logits) - softmax(images.logits)).max()),
        accuracy=float((predicted == images.labels).mean()),
        original_accuracy=float((original == images.labels).mean()),
    )
