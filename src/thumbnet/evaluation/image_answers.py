"""What a model answers about pictures: a class, "unsure", "unknown", or labels, with probabilities. Without PyTorch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int64

from thumbnet.errors import NonFiniteLogitsError
from thumbnet.models.decision import Decision, ranked_classes
from thumbnet.models.label_decision import LabelDecision, chosen_labels, label_probabilities
from thumbnet.models.unknown import UNKNOWN, Unknown, unknown_answers
from thumbnet.models.unsure import UNSURE, Unsure, unsure_answers
from thumbnet.specs.data import LABEL_SEPARATOR


class LogitsAndDistances(NamedTuple):
    """What a model whose answer may be unknown gives for images: logits, and how far each image is from all classes
    (see `Unknown`)."""

    logits: Float[np.ndarray, "n k"]
    distances: Float[np.ndarray, " n"]


@dataclass(frozen=True)
class ClassProbability:
    """A class and the probability that the model gives it."""

    class_name: str
    probability: float


@dataclass(frozen=True)
class ImagePrediction:
    """A picture's class, with its probability, and the same in `top` before the runners-up, most probable first. The
    class is the most probable one, unless the model's card has a decision. `is_unsure` is whether that is no answer,
    since answers of so little confidence are wrong too often (see `Unsure`), and `is_unknown` whether the picture is
    too far from all that the model was trained on (see `Unknown`).

    `labels` are those that a picture is answered to have, where it may have several, or none; None: it has one class.

    `path` is the file's; of a picture in memory, "image 2" is the third of those that were given.
    """

    path: str
    class_name: str
    probability: float
    top: tuple[ClassProbability, ...]
    is_unsure: bool = False
    labels: tuple[str, ...] | None = None
    is_unknown: bool = False

    @property
    def answer(self) -> str:
        """The class, or "unsure", or before either "unknown"; or the labels as labels.csv has them: "cat;dog", and ""
        for none."""
        if self.labels is not None:
            return LABEL_SEPARATOR.join(self.labels)
        return self.class_name if self.other_answer is None else self.other_answer

    @property
    def other_answer(self) -> str | None:
        """What is answered in the place of the class: "unknown" or "unsure"; None: the class is."""
        if self.is_unknown:
            return UNKNOWN
        return UNSURE if self.is_unsure else None


@runtime_checkable
class Answering(Protocol):
    """The names of a model's classes, and how its logits become an answer."""

    @property
    def class_names(self) -> Sequence[str]: ...
    @property
    def decision(self) -> Decision | None: ...
    @property
    def unsure(self) -> Unsure | None: ...
    @property
    def label_decision(self) -> LabelDecision | None: ...
    @property
    def unknown(self) -> Unknown | None: ...


def answers_of(
    paths: Sequence[str],
    logits: Float[np.ndarray, "n k"],
    model: Answering,
    *,
    num_top: int,
    distances: Float[np.ndarray, " n"] | None = None,
) -> Iterator[ImagePrediction]:
    """The prediction of each picture, in order, with its `num_top` most probable classes; a model whose answer may be
    unknown needs `distances`.

    Raises:
        NonFiniteLogitsError: a logit or a distance is NaN or infinite.
    """
    assert model.unknown is None or distances is not None
    if not np.isfinite(logits).all() or (distances is not None and not np.isfinite(distances).all()):
        raise NonFiniteLogitsError(
            "the model gives logits that are not finite", hint="its training diverged: train again at a lower rate"
        )
    if model.label_decision is not None:
        yield from _with_labels(paths, logits, model.class_names, model.label_decision, num_top)
        return
    probabilities = _softmax(logits)
    ranked = ranked_classes(model.decision, logits, probabilities)[:, :num_top]
    is_unsure = unsure_answers(model.unsure, probabilities).tolist()
    is_unknown = unknown_answers(model.unknown, np.zeros(len(logits)) if distances is None else distances).tolist()
    for path, row, best, unsure, unknown in zip(paths, probabilities, ranked, is_unsure, is_unknown, strict=True):
        yield _prediction(path, row, best, model.class_names, is_unsure=unsure, is_unknown=unknown)


def _with_labels(
    paths: Sequence[str],
    logits: Float[np.ndarray, "n k"],
    class_names: Sequence[str],
    decision: LabelDecision,
    num_top: int,
) -> Iterator[ImagePrediction]:
    """Predictions where a picture may have several labels; `top` is by probability."""
    probabilities = label_probabilities(logits)
    ranked = np.argsort(-logits, axis=1, kind="stable").astype(np.int64)[:, :num_top]
    for path, row, best, marks in zip(paths, probabilities, ranked, chosen_labels(decision, logits), strict=True):
        labels = tuple(name for name, mark in zip(class_names, marks, strict=True) if mark)
        yield _prediction(path, row, best, class_names, labels=labels)


def _softmax(logits: Float[np.ndarray, "n k"]) -> Float[np.ndarray, "n k"]:
    exact = logits.astype(np.float64)
    powers = np.exp(exact - exact.max(axis=1, keepdims=True))
    probabilities: Float[np.ndarray, "n k"] = powers / powers.sum(axis=1, keepdims=True)
    return probabilities


def _prediction(
    path: str,
    probabilities: Float[np.ndarray, " k"],
    best: Int64[np.ndarray, " m"],
    class_names: Sequence[str],
    *,
    is_unsure: bool = False,
    labels: tuple[str, ...] | None = None,
    is_unknown: bool = False,
) -> ImagePrediction:
    top = tuple(ClassProbability(class_names[index], float(probabilities[index])) for index in best)
    return ImagePrediction(path, top[0].class_name, top[0].probability, top, is_unsure, labels, is_unknown)
