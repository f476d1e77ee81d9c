"""The answers of a model of two classes with a threshold, or of one that may be unsure: a third output, int64 [N], the
class's index, or the number of classes where it is unsure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
from jaxtyping import Float, Int64, UInt8
from onnx import TensorProto, helper, numpy_helper

from thumbnet.errors import ExportError
from thumbnet.export.onnx.graph import BATCH
from thumbnet.export.onnx.names import ANSWERS, IMAGES, LOGITS, PROBABILITIES
from thumbnet.export.onnx.runtime import BATCH_SIZE
from thumbnet.export.request import softmax
from thumbnet.models.card import ModelCard
from thumbnet.models.decision import Decision, chosen_classes
from thumbnet.models.unsure import Unsure, unsure_answers

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

ROUNDING = 1e-5  # of a margin in float32, beside the model's in double precision, in proportion


def add_answers(model: onnx.ModelProto, card: ModelCard) -> None:
    """Nodes behind the model's logits that give the answers; none where the likeliest class always is the answer."""
    if card.decision is not None:
        _add_by_threshold(model.graph, card.decision)
    elif card.unsure is not None:
        _add_unless_unsure(model.graph, card.unsure, num_classes=len(card.class_names))


def _add_by_threshold(graph: onnx.GraphProto, decision: Decision) -> None:
    constants: dict[str, np.ndarray] = {
        "positive": np.array(decision.positive, np.int64),
        "other": np.array(1 - decision.positive, np.int64),
        "margin": np.array(decision.margin, np.float32),
    }
    graph.initializer.extend(numpy_helper.from_array(value, f"{ANSWERS}.{name}") for name, value in constants.items())
    positive, other, margin = (f"{ANSWERS}.{name}" for name in constants)

    def node(operator: str, name: str, *inputs: str) -> onnx.NodeProto:
        made = helper.make_node(operator, list(inputs), [name], name=name)
        if operator == "Gather":
            made.attribute.append(helper.make_attribute("axis", 1))
        return made

    of_positive, of_other, margins, is_positive = (
        f"{ANSWERS}.{name}" for name in ("of_positive", "of_other", "margins", "is_positive")
    )
    graph.node.extend(
        [
            node("Gather", of_positive, LOGITS, positive),
            node("Gather", of_other, LOGITS, other),
            node("Sub", margins, of_positive, of_other),
            node("GreaterOrEqual", is_positive, margins, margin),
            node("Where", ANSWERS, is_positive, positive, other),
        ]
    )
    graph.output.append(helper.make_tensor_value_info(ANSWERS, TensorProto.INT64, [BATCH]))


def _add_unless_unsure(graph: onnx.GraphProto, unsure: Unsure, *, num_classes: int) -> None:
    constants: dict[str, np.ndarray] = {
        "confidence": np.array(unsure.confidence, np.float32),
        "unsure": np.array(num_classes, np.int64),
        "flat": np.array([-1], np.int64),
    }
    graph.initializer.extend(numpy_helper.from_array(value, f"{ANSWERS}.{name}") for name, value in constants.items())
    confidence, none, flat = (f"{ANSWERS}.{name}" for name in constants)
    likeliest, highest, is_unsure, column = (
        f"{ANSWERS}.{name}" for name in ("likeliest", "highest", "is_unsure", "column")
    )
    graph.node.extend(
        [
            helper.make_node("ArgMax", [PROBABILITIES], [likeliest], name=likeliest, axis=1, keepdims=1),
            helper.make_node("GatherElements", [PROBABILITIES, likeliest], [highest], name=highest, axis=1),
            helper.make_node("Less", [highest, confidence], [is_unsure], name=is_unsure),
            helper.make_node("Where", [is_unsure, none, likeliest], [column], name=column),
            helper.make_node("Reshape", [column, flat], [ANSWERS], name=ANSWERS),
        ]
    )
    graph.output.append(helper.make_tensor_value_info(ANSWERS, TensorProto.INT64, [BATCH]))


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
    batches = np.array_split(images, range(BATCH_SIZE, len(images), BATCH_SIZE))
    answers: Int64[np.ndarray, " n"] = np.concatenate(
        [session.run([ANSWERS], {IMAGES: np.ascontiguousarray(batch.transpose(0, 2, 3, 1))})[0] for batch in batches]
    )
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
