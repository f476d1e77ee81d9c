"""What a writer of one format is given, and what it gives back. Without PyTorch."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int64, UInt8

from thumbnet.evaluation.figure_names import is_other_number, or_balanced
from thumbnet.evaluation.overall import balanced_accuracy_of_answers
from thumbnet.models.decision import Decision, chosen_classes
from thumbnet.models.label_decision import LabelDecision, chosen_labels, label_probabilities
from thumbnet.models.unknown import UNKNOWN, Unknown, unknown_answers
from thumbnet.models.unsure import Unsure
from thumbnet.terminal.text import escaped
from thumbnet.trained.shippable import Shippable

MAX_DROP = 0.005
LEAST_AGREEMENT = 0.9  # of samples, where no accuracy can be judged
Say = Callable[[str], None]


@dataclass(frozen=True)
class CheckImages:
    """Images uint8 [N,C,H,W] with labels that an exported model is checked on, and the original model's logits, which
    become answers by the model's `decision`, or none of the classes where it is `unsure`; where a picture may have
    several labels, by its `label_decision`. Of a model whose answer may be `unknown`, `distances` are the original's.

    `are_samples`: a few pictures that stand in for a split, and say nothing about accuracy.
    """

    description: str  # such as "10,000 test images" or "20 sample pictures of the test split"
    images: UInt8[np.ndarray, "n c h w"]
    labels: Int64[np.ndarray, " n"] | UInt8[np.ndarray, "n k"]
    logits: Float[np.ndarray, "n k"]
    are_samples: bool = False
    decision: Decision | None = None
    unsure: Unsure | None = None
    label_decision: LabelDecision | None = None
    unknown: Unknown | None = None
    distances: Float[np.ndarray, " n"] | None = None

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class ExportRequest:
    """One export.

    Args:
        out: the file, or for `c` the folder, to write.
        max_drop: the most accuracy (a fraction) that quantisation may cost, judged on `held_out`; None: as in
            `Agreement.allowed_drop`.
        held_out: validation images, or training images that were not used for calibration; None without data.
        test: the test split, or without data the sample pictures; scores on it are reported and decide nothing, but
            disagreement of a float format is refused.
        target: `frigate` or `openmv` for tflite, else None.
        say: gets sentences for people.
    """

    shippable: Shippable
    out: Path
    max_drop: float | None
    held_out: CheckImages | None
    test: CheckImages
    has_data: bool
    target: str | None = None
    say: Say = field(default=lambda text: None)


@dataclass(frozen=True)
class Agreement:
    """An exported model against the original on some images.

    `agreement` is the share of images with the same class, or, where a picture may have several labels
    (`has_several_labels`), with all the same ones; `accuracy` and `original_accuracy` are fractions;
    `drop_error` is the standard error of their difference, which follows from how many images became right or wrong.
    The balanced accuracies are None where a picture may have several labels.
    `unknown` and `original_unknown` are the shares of images that are answered so, of a model whose answer may be that;
    the other figures are of classes all the same.
    """

    description: str
    num_images: int
    agreement: float
    max_difference: float  # of any probability
    accuracy: float
    original_accuracy: float
    drop_error: float
    on_samples: bool = False
    has_several_labels: bool = False
    balanced_accuracy: float | None = None
    original_balanced_accuracy: float | None = None
    unknown: float | None = None
    original_unknown: float | None = None

    @property
    def answer(self) -> str:
        """What an image gets, for people."""
        return "labels" if self.has_several_labels else "class"

    @property
    def accuracy_name(self) -> str:
        """What its accuracy is, for people."""
        return "accuracy (all labels right)" if self.has_several_labels else "accuracy"

    @property
    def has_other_balanced(self) -> bool:
        """Whether a balanced accuracy is another number than its accuracy."""
        return is_other_number(self.accuracy, self.balanced_accuracy) or is_other_number(
            self.original_accuracy, self.original_balanced_accuracy
        )

    @property
    def drop(self) -> float:
        """How much accuracy was lost, a fraction; negative where some was won."""
        return self.original_accuracy - self.accuracy

    def allowed_drop(self, max_drop: float | None) -> float:
        """`max_drop` as it is given; else MAX_DROP and what chance may add on so few images: a standard error, and at
        least one image in all."""
        return max(MAX_DROP + self.drop_error, 1 / self.num_images) if max_drop is None else max_drop

    def costs_more_than(self, max_drop: float | None) -> bool:
        """Whether more accuracy was lost than allowed: 5 of 1,000 images are 0.005, however the difference rounds."""
        return self.drop > self.allowed_drop(max_drop) + 1e-9

    def to_dict(self) -> dict[str, str | int | float]:
        """Plain values for JSON; `has_several_labels` only where that is so, and only shares that there are."""
        values = {name: value for name, value in asdict(self).items() if value is not None} | {"drop": self.drop}
        if not self.has_several_labels:
            del values["has_several_labels"]
        return values

    def __str__(self) -> str:
        accuracy = f"{self.accuracy_name} {self.accuracy:.2%} (original: {self.original_accuracy:.2%}), "
        if self.has_other_balanced:
            original = f"(original: {self.original_balanced_accuracy:.2%})"
            accuracy += f"balanced accuracy {self.balanced_accuracy:.2%} {original}, "
        return (
            f"checked on {self.description}: {self.agreement:.2%} get the model's {self.answer}, "
            f"{'' if self.on_samples else accuracy}largest difference of a probability {self.max_difference:.2g}"
            f"{self._unknown_text()}"
        )

    def _unknown_text(self) -> str:
        if self.unknown is None or self.original_unknown is None:
            return ""
        return f", {self.unknown:.2%} are answered with {UNKNOWN!r} (original: {self.original_unknown:.2%})"


@dataclass(frozen=True)
class ExportResult:
    """What was written. `files` are all of it, the first one the main one; `checks` are on held-out images, if there
    are any, and on the test images or samples, in that order; `details` are the format's own facts for people and
    programs; `metrics` are the original's on its test split, as its training measured them, if they are known."""

    format: str
    path: Path
    files: tuple[Path, ...]
    num_bytes: int
    checks: tuple[Agreement, ...]
    details: Mapping[str, str | int | float | None] = field(default_factory=dict)
    metrics: Mapping[str, float] | None = None
    model_card: Path | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "format": self.format,
            "path": str(self.path),
            "files": [str(file) for file in self.files],
            "num_bytes": self.num_bytes,
            "checks": [check.to_dict() for check in self.checks],
            "details": dict(self.details),
            "metrics": None if self.metrics is None else dict(self.metrics),
            "model_card": None if self.model_card is None else str(self.model_card),
        }

    def __str__(self) -> str:
        """A line for each thing written, check and detail."""
        lines = [f"{self.path}: {self.format}, {self.num_bytes:,} bytes"]
        lines += [f"  {escaped(str(file))}" for file in self.files if file != self.path]
        lines += map(str, self.checks)
        if self.metrics is not None and not any(not check.on_samples for check in self.checks[-1:]):
            accuracy, num_images = self.metrics["test_accuracy"], int(self.metrics["num_test"])
            name = self.checks[-1].accuracy_name if self.checks else "accuracy"
            found = f"{accuracy:.2%} on {num_images:,} test images"
            balanced = or_balanced(accuracy, self.metrics.get("test_balanced_accuracy"))
            lines.append(f"{name} of the original: {found}{balanced}, from its training")
        lines += [
            f"{name.replace('_', ' ')}: {_plain(value)}" for name, value in self.details.items() if value is not None
        ]
        lines += [] if self.model_card is None else [f"model card: {self.model_card}"]
        return "\n".join(escaped(line) for line in lines)


def _plain(value: str | int | float) -> str:
    if isinstance(value, str):
        return value
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"


def softmax(logits: Float[np.ndarray, "n k"]) -> Float[np.ndarray, "n k"]:
    """Probabilities, in double precision."""
    powers = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    probabilities: Float[np.ndarray, "n k"] = powers / powers.sum(axis=1, keepdims=True)
    return probabilities


def probabilities_of(images: CheckImages, logits: Float[np.ndarray, "n k"]) -> Float[np.ndarray, "n k"]:
    """The probabilities of logits of the images' model, in double precision."""
    return softmax(logits) if images.label_decision is None else label_probabilities(logits)


def compare(
    images: CheckImages, logits: Float[np.ndarray, "n k"], distances: Float[np.ndarray, " n"] | None = None
) -> Agreement:
    """An exported model's logits against the original's, and its distances, where its answer may be unknown. Where a
    picture may have several labels, it gets the model's class where it gets all of the model's labels and no other, and
    is right likewise."""
    balanced: list[float | None] = [None, None]
    if images.label_decision is None:
        predicted, original = (chosen_classes(images.decision, each)[:, None] for each in (logits, images.logits))
        labels, num_classes = images.labels[:, None], logits.shape[1]
        answers = (predicted[:, 0], original[:, 0])
        balanced = [balanced_accuracy_of_answers(images.labels, each, num_classes=num_classes) for each in answers]
    else:
        predicted, original = (chosen_labels(images.label_decision, each) for each in (logits, images.logits))
        labels = images.labels
    is_right, was_right = (predicted == labels).all(axis=1), (original == labels).all(axis=1)
    return Agreement(
        description=images.description,
        num_images=len(images),
        agreement=float((predicted == original).all(axis=1).mean()),
        max_difference=float(np.abs(probabilities_of(images, logits) - probabilities_of(images, images.logits)).max()),
        accuracy=float(is_right.mean()),
        original_accuracy=float(was_right.mean()),
        drop_error=math.sqrt((is_right != was_right).sum()) / len(images),
        on_samples=images.are_samples,
        has_several_labels=images.label_decision is not None,
        balanced_accuracy=balanced[0],
        original_balanced_accuracy=balanced[1],
        unknown=_share_unknown(images.unknown, distances),
        original_unknown=None if distances is None else _share_unknown(images.unknown, images.distances),
    )


def _share_unknown(unknown: Unknown | None, distances: Float[np.ndarray, " n"] | None) -> float | None:
    return None if distances is None else float(unknown_answers(unknown, distances).mean())
