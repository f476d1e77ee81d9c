"""The answers in a graph against those that follow from its logits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Int64, UInt8

from thumbnet.errors import ExportError
from thumbnet.export.onnx.names import ANSWERS, IMAGES
from thumbnet.export.onnx.runtime import BATCH_SIZE
from thumbnet.export.request import softmax
from thumbnet.models.decision import Decision, chosen_classes
from thumbnet.models.label_decision import LabelDecision, chosen_labels
from thumbnet.models.unsure import Unsure, unsure_answers

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

ROUNDING = 1e-5  # of a margin in float32, beside the model's in double precision, in proportion


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
    answers = _run(session, images)
    exact = logits.astype(np.float64)
    is_clear = np.abs(exact - np.array(decision.margins)) > ROUNDING * np.maximum(1, np.abs(exact))
    num_wrong = int(((answers != chosen_labels(decision, logits)) & is_clear).any(axis=1).sum())
    if num_wrong:
        raise ExportError(f"the exported model labels {num_wrong:,} images otherwise than its thresholds", hint=hint)


def _run(session: InferenceSession, images: UInt8[np.ndarray, "n c h w"]) -> Int64[np.ndarray, "*shape"]:
    """The graph's answers for images, batch by batch."""
    batches = np.array_split(images, range(BATCH_SIZE, len(images), BATCH_SIZE))
    answers: Int64[np.ndarray, "*shape"] = np.concatenate(
        [session.run([ANSWERS], {IMAGES: np.ascontiguousarray(batch.transpose(0, 2, 3, 1))})[0] for batch in batches]
    ).astype(np.int64)
    return answers


def check_answers(
    session: InferenceSession,
    images: UInt8[np.ndarray, "n c h w"],
    logits: Float[np.ndarray, "n k"],
    rule: Decision | Unsure,
    *,
    hint: str,
) -> None:
    """ExportError unless the graph's answers are those of its logits, except for margins and probabilities that float32
    cannot tell from those of the rule."""
    answers = _run(session, images)
    exact = logits.astype(np.float64)
    if isinstance(rule, Decision):
        expected = chosen_classes(rule, logits)
        distances = exact[:, rule.positive] - exact[:, 1 - rule.positive] - rule.margin
    else:
        probabilities = softmax(logits)
        is_unsure = unsure_answers(rule, probabilities)
        expected = np.where(is_unsure, logits.shape[1], chosen_classes(None, logits))
        distances = probabilities.max(axis=1) - rule.confidence
    is_clear = np.abs(distances) > ROUNDING * np.maximum(1, np.abs(exact).max(axis=1))
    num_wrong = int(((answers != expected) & is_clear).sum())
    if num_wrong:
        named = "its threshold" if isinstance(rule, Decision) else "its probabilities"
        raise ExportError(f"the exported model answers {num_wrong:,} images otherwise than {named}", hint=hint)
