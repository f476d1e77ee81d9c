"""An exported ONNX file read back, to predict with. Without PyTorch and without the package onnx."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, UInt8

from thumbnet.errors import ModelError, ThumbnetError
from thumbnet.evaluation.image_answers import LogitsAndDistances
from thumbnet.export.onnx.names import ANSWERS, CARD, DISTANCES, IMAGES, LOGITS, PROBABILITIES
from thumbnet.export.onnx.runtime import open_session, run_outputs, run_session, runtime_errors
from thumbnet.models.card import ModelCard, card_from_dict
from thumbnet.specs.extras import require_extra
from thumbnet.trained.predictor import Predictor

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

HINT = "give a file that `thumbnet export` wrote with --format onnx or onnx-int8"


def load_onnx(path: str | Path) -> Predictor:
    """The model with its card.

    Raises:
        ModelError: the file cannot be read, is no ONNX model, or none that thumbnet wrote. ExtraMissingError: ONNX
            Runtime is not installed.
    """
    require_extra("onnx", f"running {path}", packages=["onnxruntime"])
    try:
        session = open_session(Path(path).read_bytes())
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}", hint=HINT) from error
    except runtime_errors() as error:
        raise ModelError(f"{path} is no ONNX model, or is damaged: {error}", hint=HINT) from error
    card = _read_card(session, path)
    _check_ends(session, card, path)

    def logits_of(images: UInt8[np.ndarray, "n c h w"]) -> Float[np.ndarray, "n k"]:
        return run_session(session, images)[0]

    def with_distances(images: UInt8[np.ndarray, "n c h w"]) -> LogitsAndDistances:
        return LogitsAndDistances(*run_outputs(session, images, (LOGITS, DISTANCES)))

    return Predictor(card, logits_of, None if card.unknown is None else with_distances)


def _read_card(session: InferenceSession, path: str | Path) -> ModelCard:
    text = session.get_modelmeta().custom_metadata_map.get(CARD)
    if text is None:
        raise ModelError(f"{path} was not written by thumbnet: it has no model card in its metadata", hint=HINT)
    try:
        values = json.loads(text)
        if not isinstance(values, dict):
            raise ModelError(f"it is a {type(values).__name__}")
        return card_from_dict(values, name=f"{path}'s model card")
    except (ThumbnetError, ValueError, RecursionError) as error:
        reason = error.message if isinstance(error, ThumbnetError) else error
        raise ModelError(f"{path} has a damaged model card: {reason}", hint=HINT) from error


def _check_ends(session: InferenceSession, card: ModelCard, path: str | Path) -> None:
    """ModelError unless the graph's input and outputs are those of the card."""
    channels, height, width = card.image_shape
    ends = {end.name: (end.type, end.shape[1:]) for end in [*session.get_inputs(), *session.get_outputs()] if end.shape}
    scores = ("tensor(float)", [len(card.class_names)])
    expected = {IMAGES: ("tensor(uint8)", [height, width, channels]), LOGITS: scores, PROBABILITIES: scores}
    if card.decision is not None or card.unsure is not None or card.unknown is not None:
        expected[ANSWERS] = ("tensor(int64)", [])
    if card.unknown is not None:
        expected[DISTANCES] = ("tensor(float)", [])
    if card.label_decision is not None:
        expected[ANSWERS] = ("tensor(int64)", [len(card.class_names)])
    if ends != expected:
        raise ModelError(f"{path} does not fit its model card: it has {ends}, expected {expected}", hint=HINT)
