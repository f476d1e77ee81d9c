"""The answers and distances in a graph against those that follow from its logits and features."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
from jaxtyping import Bool, Float, Int64, UInt8
from onnx import TensorProto, helper

from thumbnet.errors import ExportError
from thumbnet.export.onnx.graph import BATCH, to_bytes
from thumbnet.export.onnx.names import ANSWERS, DISTANCES, FEATURES
from thumbnet.export.onnx.runtime import open_session, run_outputs
from thumbnet.export.request import CheckImages, softmax
from thumbnet.models.decision import Decision, chosen_classes
from thumbnet.models.label_decision import LabelDecision, chosen_labels
from thumbnet.models.unknown import Unknown, distances_by
from thumbnet.models.unsure import Unsure, unsure_answers

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

ROUNDING = 1e-5  # of a margin or a distance in float32, beside the model's in double precision, in proportion
EPSILON = 2.0**-22  # of the numbers that a difference in float32 is of
MOST_BY_FEATURES = 1000  # images: the nodes are the same for all


def check_labels(
    session: InferenceSession,
    images: UInt8[np.ndarray, "n c h w"],
    logits: Float[np.ndarray, "n k"],
    decision: LabelDecision,
    *,
    hint: str,
) -> None:
    """ExportError unless the graph's labels are those of its logits, except for logits that float32 cannot tell from
    the margin."""
    (answers,) = run_outputs(session, images, (ANSWERS,))
    exact = logits.astype(np.float64)
    is_clear = np.abs(exact - np.array(decision.margins)) > ROUNDING * np.maximum(1, np.abs(exact))
    num_wrong = int(((answers != chosen_labels(decision, logits)) & is_clear).any(axis=1).sum())
    if num_wrong:
        raise ExportError(f"the exported model labels {num_wrong:,} images otherwise than its thresholds", hint=hint)


def check_answers(
    session: InferenceSession, images: CheckImages, logits: Float[np.ndarray, "n k"], *, hint: str
) -> Float[np.ndarray, " n"] | None:
    """The graph's distances, where its answer may be unknown.

    Raises:
        ExportError: its answers are not those of its logits and distances, except for margins and probabilities that
            float32 cannot tell from those of the rule.
    """
    expected, is_clear = _of_logits(images.decision or images.unsure, logits)
    distances = None
    if images.unknown is None:
        (answers,) = run_outputs(session, images.images, (ANSWERS,))
    else:
        answers, distances = run_outputs(session, images.images, (ANSWERS, DISTANCES))
        is_unknown = distances > np.float32(images.unknown.limit)
        expected, is_clear = np.where(is_unknown, logits.shape[1] + 1, expected), is_clear | is_unknown
    num_wrong = int(((answers != expected) & is_clear).sum())
    if num_wrong:
        named = "its threshold" if images.decision is not None else "its probabilities"
        named += "" if images.unknown is None else " and distances"
        raise ExportError(f"the exported model answers {num_wrong:,} images otherwise than {named}", hint=hint)
    return distances


def _of_logits(
    rule: Decision | Unsure | None, logits: Float[np.ndarray, "n k"]
) -> tuple[Int64[np.ndarray, " n"], Bool[np.ndarray, " n"]]:
    """The answers that a rule gives to logits, and where float32 gives the same."""
    if rule is None:
        return chosen_classes(None, logits), np.ones(len(logits), bool)
    exact = logits.astype(np.float64)
    if isinstance(rule, Decision):
        expected = chosen_classes(rule, logits)
        distances = exact[:, rule.positive] - exact[:, 1 - rule.positive] - rule.margin
    else:
        probabilities = softmax(logits)
        expected = np.where(unsure_answers(rule, probabilities), logits.shape[1], chosen_classes(None, logits))
        distances = probabilities.max(axis=1) - rule.confidence
    is_clear: Bool[np.ndarray, " n"] = np.abs(distances) > ROUNDING * np.maximum(1, np.abs(exact).max(axis=1))
    return expected, is_clear


def check_distances(content: bytes, images: UInt8[np.ndarray, "n c h w"], unknown: Unknown, *, hint: str) -> None:
    """ExportError unless a graph's distances are those of its features, which are its head's input, within rounding."""
    model = onnx.load_from_string(content)
    shape: list[str | int] = [BATCH, len(unknown.deviations)]
    model.graph.output.append(helper.make_tensor_value_info(FEATURES, TensorProto.FLOAT, shape))
    session = open_session(to_bytes(model))
    features, distances = run_outputs(session, images[:MOST_BY_FEATURES], (FEATURES, DISTANCES))
    expected = distances_by(unknown, features)
    largest = np.abs(features) + np.abs(np.array(unknown.means)).max(axis=0)  # of what is subtracted
    rounding = EPSILON * np.sqrt(((largest / np.array(unknown.deviations)) ** 2).sum(axis=1))
    num_wrong = int((~(np.abs(distances - expected) <= rounding + ROUNDING * expected)).sum())
    if num_wrong:
        told = f"the exported model's distances of {num_wrong:,} images are not those of its features"
        raise ExportError(told, hint=hint)


def check_near_original(images: CheckImages, distances: Float[np.ndarray, " n"], *, hint: str) -> None:
    """ExportError unless a float graph's distances are the original's: its features may differ by rounding."""
    assert images.unknown is not None
    assert images.distances is not None
    largest = max(1.0, float(np.abs(np.array(images.unknown.means)).max()))
    rounding = ROUNDING * largest * float(np.sqrt((1 / np.array(images.unknown.deviations) ** 2).sum()))
    differences = np.abs(distances - images.distances)
    num_wrong = int((~(differences <= rounding + ROUNDING * images.distances)).sum())
    if num_wrong:
        raise ExportError(
            f"the exported model does not do what the original does: its distances of {num_wrong:,} of "
            f"{images.description} are others, by up to {differences.max():.2g}",
            hint=hint,
        )
