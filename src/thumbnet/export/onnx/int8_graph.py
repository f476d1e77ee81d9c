"""A folded program as an ONNX graph in int8: weights and maps between QuantizeLinear and DequantizeLinear nodes.

The stem is computed in float32, since pixels less their mean fit no integers, and so is the first block where that
costs few bytes. Of each other block three maps are uint8:

- the pointwise output, which is equalised: about from -1 to 1;
- what the SiLU is given, less the middle of its range and divided by half of it, for each channel apart: from -1 to 1.
  The filters and the bias have that in them; a multiplication and an addition undo it before the SiLU;
- the block's output, with its shortcut: one scale, since the next matrix sums over its channels.

The SiLU and the mean at the end are computed in float32.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
import onnx
from jaxtyping import Float

from thumbnet.export.onnx.float_graph import add_activation, add_pool, add_stem, filter_attributes
from thumbnet.export.onnx.int8_builder import MOST_BIAS, Int8Builder, Maps
from thumbnet.export.onnx.names import FEATURES, LOGITS, PROBABILITIES
from thumbnet.models.export_data import AFTER, BEFORE, STEM, Range
from thumbnet.models.program import Block, Program

HEAD = "head"
LEAST_OF_SILU = -8.0  # below it SiLU is within 0.003 of 0: no steps are spent there
MOST_FLOAT = 0.1  # of the weights, in a first block that stays float32: its maps are the largest, and so is their error
# Shares of a map's range that are kept: few values lie beyond, and finer steps are worth more. With both, the logits'
# error is 4 to 17 % less, on training images that were not used for calibration.
KEPT = 0.8
KEPT_POINTWISE = 0.9
LEAST_HALF = 0.01  # of the widest channel's range: a channel that hardly moved may move more on other images


def layer_names(program: Program) -> tuple[str, ...]:
    """The layers that are quantised; the stem is one because of its output's maps."""
    first, *others = program.blocks
    rest = (*(block.name for block in others), HEAD)
    num_weights = program.head.size + sum(map(_num_weights, program.blocks))
    return rest if _num_weights(first) <= MOST_FLOAT * num_weights else (STEM, first.name, *rest)


def int8_graph(
    program: Program,
    ranges: Mapping[str, Range],
    *,
    properties: Mapping[str, str],
    quantised: Collection[str] | None = None,
) -> onnx.ModelProto:
    """The model of an equalised program and the ranges of its maps on training images.

    Args:
        quantised: of `layer_names`; the others stay in float32. None: all.
    """
    graph = Int8Builder(layer_names(program) if quantised is None else quantised)
    maps = graph.maps(STEM, "stem.maps", add_stem(graph, program), low=0.0, high=KEPT * float(ranges[STEM].high.max()))
    for block in program.blocks:
        node = _add_block(graph, block, maps, ranges[block.name + BEFORE])
        after = ranges[block.name + AFTER]
        if block is program.blocks[-1]:
            maps = Maps(node)
        else:
            maps = graph.maps(
                block.name, f"{block.name}.maps", node, low=float(after.low.min()), high=KEPT * float(after.high.max())
            )
    pooled = graph.node("GlobalAveragePool", "pooled", maps.node)
    features = graph.node("Flatten", FEATURES, pooled, axis=1)
    graph.node("Gemm", LOGITS, features, graph.weights(HEAD, "head.weight", program.head).node, transB=1)
    graph.node("Softmax", PROBABILITIES, LOGITS, axis=1)
    return graph.to_model(image_shape=program.image_shape, num_classes=program.num_classes, properties=properties)


def _add_block(graph: Int8Builder, block: Block, maps: Maps, before: Range) -> str:
    """The block's output, in float32."""
    name, into = block.name, maps.node
    if block.pointwise is not None:
        matrix = graph.weights(name, f"{name}.pointwise.weight", block.pointwise[:, :, None, None])
        mixed = graph.node("Conv", f"{name}.pointwise", into, matrix.node, kernel_shape=[1, 1])
        maps = graph.maps(name, f"{name}.pointwise.maps", mixed, low=-KEPT_POINTWISE, high=KEPT_POINTWISE)
    span = _span(before)
    sign = np.ones(len(block.bias)) if block.sign is None else block.sign.astype(np.float64)
    bias = (block.bias - span.middle) * sign / span.half  # before the sign, which follows the pool
    filters = graph.weights(
        name,
        f"{name}.filters",
        block.filters / span.half[:, None, None, None],
        least_scales=np.abs(bias) / (MOST_BIAS * maps.scale) if maps.scale else 0.0,
    )
    bias_node = graph.bias(name, f"{name}.bias", bias, maps=maps, weights=filters)
    convolved = graph.node("Conv", f"{name}.conv", maps.node, filters.node, bias_node, **filter_attributes(block))
    if block.pools:
        convolved = add_pool(graph, block, graph.maps(name, f"{name}.conv.maps", convolved, low=-1.0, high=1.0).node)
    scaled = graph.maps(name, f"{name}.scaled", convolved, low=-1.0, high=1.0)
    half = graph.constant(f"{name}.half", (span.half * sign).astype(np.float32)[:, None, None])
    middle = graph.constant(f"{name}.middle", span.middle.astype(np.float32)[:, None, None])
    given = graph.node("Add", f"{name}.before", graph.node("Mul", f"{name}.unscaled", scaled.node, half), middle)
    return add_activation(graph, block, given, into)


def _num_weights(block: Block) -> int:
    return block.filters.size + (0 if block.pointwise is None else block.pointwise.size)


@dataclass(frozen=True)
class _Span:
    """The middle of each channel's range, and half of the range."""

    middle: Float[np.ndarray, " k"]
    half: Float[np.ndarray, " k"]


def _span(before: Range) -> _Span:
    """Of what a SiLU is given."""
    high = before.high.astype(np.float64)
    low = np.minimum(np.maximum(before.low, LEAST_OF_SILU), high)
    half = (high - low) / 2
    return _Span((high + low) / 2, np.maximum(half, LEAST_HALF * (half.max() or 1.0)))
