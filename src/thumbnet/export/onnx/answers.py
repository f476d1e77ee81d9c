"""The answers of a model of two classes with a threshold, or of one that may be unsure or not know a picture: a third
output, int64 [N], the class's index, the number of classes where it is unsure, and one more where it does not know the
picture. Where a picture may have several labels, it is int64 [N,K], 1 for each label that is answered.

Of a model that may not know a picture, the distance by which it does not is a fourth output, float32 [N].
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from thumbnet.export.onnx.graph import BATCH
from thumbnet.export.onnx.names import ANSWERS, DISTANCES, FEATURES, LOGITS, PROBABILITIES
from thumbnet.models.card import ModelCard
from thumbnet.models.decision import Decision
from thumbnet.models.label_decision import LabelDecision
from thumbnet.models.unknown import Unknown
from thumbnet.models.unsure import Unsure


def add_answers(model: onnx.ModelProto, card: ModelCard) -> None:
    """Nodes behind the model's logits that give the answers; none where the likeliest class always is the answer."""
    graph = model.graph
    if card.label_decision is not None:
        _add_labels(graph, card.label_decision)
    elif card.unknown is not None:
        known = f"{ANSWERS}.known"
        _add_classes(graph, card, known)
        _add_distances(graph, card.unknown)
        _add_unless_unknown(graph, card.unknown, known, num_classes=len(card.class_names))
        graph.output.append(helper.make_tensor_value_info(ANSWERS, TensorProto.INT64, [BATCH]))
        graph.output.append(helper.make_tensor_value_info(DISTANCES, TensorProto.FLOAT, [BATCH]))
    elif card.decision is not None or card.unsure is not None:
        _add_classes(graph, card, ANSWERS)
        graph.output.append(helper.make_tensor_value_info(ANSWERS, TensorProto.INT64, [BATCH]))


def _add_classes(graph: onnx.GraphProto, card: ModelCard, answers: str) -> None:
    """The answers by the logits alone, as the node of that name."""
    if card.decision is not None:
        _add_by_threshold(graph, card.decision, answers)
    elif card.unsure is not None:
        _add_unless_unsure(graph, card.unsure, answers, num_classes=len(card.class_names))
    else:
        graph.node.append(helper.make_node("ArgMax", [LOGITS], [answers], name=answers, axis=1, keepdims=0))


def _add_by_threshold(graph: onnx.GraphProto, decision: Decision, answers: str) -> None:
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
            node("Where", answers, is_positive, positive, other),
        ]
    )


def _add_unless_unsure(graph: onnx.GraphProto, unsure: Unsure, answers: str, *, num_classes: int) -> None:
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
            helper.make_node("Reshape", [column, flat], [answers], name=answers),
        ]
    )


def _add_distances(graph: onnx.GraphProto, unknown: Unknown) -> None:
    """How far an image's features are from the nearest class's mean; the differences are taken first, so that float32
    cancels nothing."""
    constants: dict[str, np.ndarray] = {
        "means": np.array(unknown.means, np.float32)[None],
        "deviations": np.array(unknown.deviations, np.float32),
        "classes": np.array([1], np.int64),
    }
    graph.initializer.extend(numpy_helper.from_array(value, f"{DISTANCES}.{name}") for name, value in constants.items())
    means, deviations, classes = (f"{DISTANCES}.{name}" for name in constants)
    features, differences, scaled, squares, nearest = (
        f"{DISTANCES}.{name}" for name in ("features", "differences", "scaled", "squares", "nearest")
    )
    graph.node.extend(
        [
            helper.make_node("Unsqueeze", [FEATURES, classes], [features], name=features),
            helper.make_node("Sub", [features, means], [differences], name=differences),
            helper.make_node("Div", [differences, deviations], [scaled], name=scaled),
            helper.make_node("ReduceSumSquare", [scaled], [squares], name=squares, axes=[2], keepdims=0),
            helper.make_node("ReduceMin", [squares], [nearest], name=nearest, axes=[1], keepdims=0),
            helper.make_node("Sqrt", [nearest], [DISTANCES], name=DISTANCES),
        ]
    )


def _add_unless_unknown(graph: onnx.GraphProto, unknown: Unknown, known: str, *, num_classes: int) -> None:
    constants: dict[str, np.ndarray] = {
        "limit": np.array(unknown.limit, np.float32),
        "unknown": np.array(num_classes + 1, np.int64),
    }
    graph.initializer.extend(numpy_helper.from_array(value, f"{ANSWERS}.{name}") for name, value in constants.items())
    limit, none = (f"{ANSWERS}.{name}" for name in constants)
    is_unknown = f"{ANSWERS}.is_unknown"
    graph.node.extend(
        [
            helper.make_node("Greater", [DISTANCES, limit], [is_unknown], name=is_unknown),
            helper.make_node("Where", [is_unknown, none, known], [ANSWERS], name=ANSWERS),
        ]
    )


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
