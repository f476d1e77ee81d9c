"""Nodes and initialisers gathered into an ONNX model: the same calls give the same bytes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

import numpy as np
import onnx
from jaxtyping import Shaped
from onnx import TensorProto, helper, numpy_helper

import thumbnet
from thumbnet.export.onnx.names import IMAGES, LOGITS, PROBABILITIES
from thumbnet.models.program import Shape

OPSET = 17
IR_VERSION = 8
BATCH = "N"  # the axis of any length

Attribute: TypeAlias = int | list[int]


class GraphBuilder:
    """A graph in the making. A node and its only output have one name."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[TensorProto] = []

    def constant(self, name: str, values: Shaped[np.ndarray, "..."]) -> str:
        """An initialiser."""
        self.initializers.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def node(self, operator: str, name: str, *inputs: str, **attributes: Attribute) -> str:
        """A node's output."""
        node = helper.make_node(operator, list(inputs), [name], name=name)
        node.attribute.extend(helper.make_attribute(key, value) for key, value in sorted(attributes.items()))
        self.nodes.append(node)
        return name

    def to_model(self, *, image_shape: Shape, num_classes: int, properties: Mapping[str, str]) -> onnx.ModelProto:
        """The model, from uint8 images [N,H,W,C] to logits and probabilities [N,K]."""
        channels, height, width = image_shape
        images = helper.make_tensor_value_info(IMAGES, TensorProto.UINT8, [BATCH, height, width, channels])
        outputs = [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, [BATCH, num_classes])
            for name in (LOGITS, PROBABILITIES)
        ]
        graph = helper.make_graph(self.nodes, "thumbnet", [images], outputs, self.initializers)
        return finished(graph, properties)


def finished(graph: onnx.GraphProto, properties: Mapping[str, str]) -> onnx.ModelProto:
    """The model of a graph, with its metadata."""
    model = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="thumbnet",
        producer_version=thumbnet.__version__,
    )
    helper.set_model_props(model, dict(properties))
    return model


def to_bytes(model: onnx.ModelProto) -> bytes:
    """Equal models are equal bytes."""
    content: bytes = model.SerializeToString(deterministic=True)
    return content
