"""Whatever classifies images, with the card of its model: a folded program, a PyTorch model, an exported file.
Without PyTorch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, UInt8

from thumbnet.data.unreadable import OnUnreadable
from thumbnet.errors import ModelError
from thumbnet.evaluation.image_answers import ImagePrediction, LogitsAndDistances
from thumbnet.evaluation.images import (
    BATCH_SIZE,
    NUM_TOP,
    LogitsOf,
    PictureForm,
    Pictures,
    WithDistances,
    predict_pictures,
    stream_predictions,
)
from thumbnet.models.card import ModelCard
from thumbnet.models.program import Program
from thumbnet.models.program_numpy import ProgramRunner
from thumbnet.models.unknown import distances_by

if TYPE_CHECKING:
    from torch import nn


@runtime_checkable
class HasModelAndCard(Protocol):
    """A `TrainedModel`, or a run that was loaded: known by what it has, without importing PyTorch."""

    @property
    def model(self) -> nn.Module: ...

    @property
    def card(self) -> ModelCard: ...


@dataclass(frozen=True)
class Predictor:
    """`logits_of` takes uint8 images [N,C,H,W] of the card's shape to logits [N,K]. `with_distances` takes them to both
    logits and distances [N] in one run of the network, for a model whose answer may be unknown: it is where the
    distance is above the card's limit.

    Raises:
        ModelError: the answer may be unknown, and there is no `with_distances`.
    """

    card: ModelCard
    logits_of: LogitsOf
    with_distances: WithDistances | None = None

    def __post_init__(self) -> None:
        if self.card.unknown is not None and self.with_distances is None:
            raise ModelError(
                "the model's answer may be unknown, but nothing gives the distances of pictures",
                hint="give with_distances",
            )

    def predict(
        self,
        pictures: Pictures,
        *,
        num_top: int = NUM_TOP,
        batch_size: int = BATCH_SIZE,
        on_unreadable: OnUnreadable | None = None,
    ) -> list[ImagePrediction]:
        """Predictions of pictures; see `predict_pictures`."""
        return predict_pictures(
            self.logits_of,
            pictures,
            form=self._form,
            num_top=num_top,
            batch_size=batch_size,
            on_unreadable=on_unreadable,
            with_distances=self.with_distances,
        )

    def stream(
        self,
        pictures: Pictures,
        *,
        num_top: int = NUM_TOP,
        batch_size: int = BATCH_SIZE,
        on_unreadable: OnUnreadable,
    ) -> Iterator[ImagePrediction]:
        """The same as they are computed; see `stream_predictions`."""
        return stream_predictions(
            self.logits_of,
            pictures,
            form=self._form,
            num_top=num_top,
            batch_size=batch_size,
            on_unreadable=on_unreadable,
            with_distances=self.with_distances,
        )

    @property
    def _form(self) -> PictureForm:
        card = self.card
        return PictureForm(
            card.image_shape,
            card.class_names,
            card.white_levels,
            card.decision,
            card.fit,
            card.unsure,
            card.label_decision,
            card.unknown,
        )


def program_predictor(card: ModelCard, program: Program) -> Predictor:
    """A network of blocks on NumPy."""
    runner = ProgramRunner(program)

    def logits_of(images: UInt8[np.ndarray, "n c h w"]) -> Float[np.ndarray, "n k"]:
        return runner.run(images).logits

    unknown = card.unknown
    if unknown is None:
        return Predictor(card, logits_of)

    def with_distances(images: UInt8[np.ndarray, "n c h w"]) -> LogitsAndDistances:
        found = runner.run(images)
        return LogitsAndDistances(found.logits, distances_by(unknown, found.features))

    return Predictor(card, logits_of, with_distances)
