"""The answers of a model of two classes with a threshold, or of one that may be unsure: a third output, int64 [N], the
class's index, or the number of classes where it is unsure. Where a picture may have several labels, it is int64 [N,K],
1 for each label that is answered."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from thumbnet.export.onnx.graph import BATCH
from thumbnet.export.onnx.names import ANSWERS, LOGITS, PROBABILITIES
from thumbnet.models.card import ModelCard
from thumbnet.models.decision import Decision
from thumbnet.models.label_decision import LabelDecision
from thumbnet.models.unsure import Unsure


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
