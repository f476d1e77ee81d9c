"""A folded program as an ONNX graph in float32."""

from __future__ import annotations

from collections.abc import Mapping

import onnx

from thumbnet.export.onnx.graph import GraphBuilder
from thumbnet.export.onnx.names import FEATURES, IMAGES, LOGITS, PROBABILITIES
from thumbnet.models.program import Block, Program, Stem


def float_graph(program: Program, *, properties: Mapping[str, str]) -> onnx.ModelProto:
    """The model of a program, preprocessing and softmax included."""
    graph = GraphBuilder()
    maps = add_stem(graph, program)
    for block in program.blocks:
        before = _add_filters(graph, block, maps)
        maps = add_activation(graph, block, before, maps)
    add_head(graph, program, maps)
    return graph.to_model(image_shape=program.image_shape, num_classes=program.num_classes, properties=properties)


def add_stem(graph: GraphBuilder, program: Program) -> str:
    """Images less the mean, the stem and its ReLU."""
    transposed = graph.node("Transpose", "images.nchw", IMAGES, perm=[0, 3, 1, 2])
    pixels = graph.node("Cast", "images.float", transposed, to=onnx.TensorProto.FLOAT)
    mean = graph.constant("mean", program.mean[:, None, None])
    centred = graph.node("Sub", "images.centred", pixels, mean)
    filters = graph.constant("stem.filters", program.stem.filters)
    convolved = graph.node("Conv", "stem.conv", centred, filters, **stem_attributes(program.stem))
    return graph.node("Relu", "stem", convolved)


def _add_filters(graph: GraphBuilder, block: Block, maps: str) -> str:
    """What the block's SiLU is given. A bias passes a maximum unchanged, so it is the convolution's unless a sign
    stands between."""
    name = block.name
    if block.pointwise is not None:
        matrix = graph.constant(f"{name}.pointwise.weight", block.pointwise[:, :, None, None])
        maps = graph.node("Conv", f"{name}.pointwise", maps, matrix, kernel_shape=[1, 1])
    inputs = [maps, graph.constant(f"{name}.filters", block.filters)]
    bias = block.bias if block.sign is None else block.bias[:, None, None]
    bias_name = graph.constant(f"{name}.bias", bias)
    if block.sign is None:
        inputs.append(bias_name)
    maps = graph.node("Conv", f"{name}.conv", *inputs, **filter_attributes(block))
    if block.pools:
        maps = add_pool(graph, block, maps)
    if block.sign is not None:
        signed = graph.node("Mul", f"{name}.signed", maps, graph.constant(f"{name}.sign", block.sign[:, None, None]))
        maps = graph.node("Add", f"{name}.biased", signed, bias_name)
    return maps


def add_pool(graph: GraphBuilder, block: Block, maps: str) -> str:
    """The maximum of 2x2 pixels; a last odd row or column is left out."""
    return graph.node("MaxPool", f"{block.name}.pool", maps, kernel_shape=[2, 2], strides=[2, 2])


def add_activation(graph: GraphBuilder, block: Block, before: str, shortcut: str) -> str:
    """The block's SiLU and, if it has one, its shortcut."""
    sigmoid = graph.node("Sigmoid", f"{block.name}.sigmoid", before)
    maps = graph.node("Mul", f"{block.name}.silu", before, sigmoid)
    return graph.node("Add", f"{block.name}.sum", shortcut, maps) if block.has_shortcut else maps


def add_head(graph: GraphBuilder, program: Program, maps: str) -> None:
    """The mean over all positions, logits and probabilities."""
    pooled = graph.node("GlobalAveragePool", "pooled", maps)
    features = graph.node("Flatten", FEATURES, pooled, axis=1)
    graph.node("MatMul", LOGITS, features, graph.constant("head.weight", program.head.T))
    graph.node("Softmax", PROBABILITIES, LOGITS, axis=1)


def stem_attributes(stem: Stem) -> dict[str, list[int]]:
    """Of the stem's Conv node."""
    strides = {} if stem.stride == 1 else {"strides": [stem.stride] * 2}
    return {"kernel_shape": list(stem.filters.shape[2:]), "pads": [stem.padding] * 4, **strides}


def filter_attributes(block: Block) -> dict[str, int | list[int]]:
    """Of the Conv node of a block's 3x3 filters."""
    return {
        "kernel_shape": [3, 3],
        "pads": [block.dilation] * 4,
        "strides": [block.stride] * 2,
        "dilations": [block.dilation] * 2,
        "group": len(block.filters) if block.is_separable else 1,
    }
