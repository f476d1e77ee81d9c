"""The answers of a model of two classes with a threshold, or of one that may be unsure: a third output, int64 [N], the
class's index, or the number of classes where it is unsure. Where a picture may have several labels, it is int64 [N,K],
1 for each label that is answered."""

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
from thumbnet.models.label_decision import LabelDecision, chosen_labels
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
    elif card.label_decision is not None:
        _add_labels(model.graph, card.label_decision)


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


def _add_labels(graph: onnx.GraphProto, decision: LabelDecision) -> None:
    """Sigmoids in the place of the softmax, and nodes behind the logits that give the labels."""
    (last,) = (node for node in graph.node if PROBABILITIES in node.output)
    assert last.op_type == "Softmax"
    last.op_type = "Sigmoid"
    del last.attribute[:]
    margins, is_there = f"{ANSWERS}.margins", f"{ANSWERS}.is_there"
    graph.initializer.append(numpy_helper.from_array(np.array(decision.margins, np.float32), margins))
    graph.node.append(helper.make_node("GreaterOrEqual", [LOGITS, margins], [is_there], name=is_there))
    graph.node.append(helper.make_node("Cast", [is_there], [ANSWERS], name=ANSWERS, to=TensorProto.INT64))
    graph.output.append(helper.make_tensor_value_info(ANSWERS, TensorProto.INT64, [BATCH, len(decision.margins)]))


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
