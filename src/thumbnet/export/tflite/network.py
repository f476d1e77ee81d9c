"""A folded program as an int8 .tflite graph: uint8 pixels [1,H,W,C] in, uint8 probabilities [1,K] out.

The network pads with zeros after the mean is subtracted, that is with the mean before. So pixels stay as they are, the
mean is in the first bias, and the pixels are framed with the mean, rounded to a grey level.
A block's output is int8; its mean and the logits are int16, whose range needs no measuring.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from thumbnet.export.tflite.flatbuffer import Graph
from thumbnet.export.tflite.layers import INT8, INT16, UINT8, Layers, Map
from thumbnet.export.tflite.quantisation import PIXELS, PROBABILITIES, Filters, MapScale, map_scale, quantise_filters
from thumbnet.export.tflite.rounding import (
    EQUAL_MEAN,
    EQUAL_SPREAD,
    MEAN,
    SPREAD,
    moments_of_maps,
    moments_of_pixels,
)
from thumbnet.models.decision import Decision, moved_by
from thumbnet.models.export_data import AFTER, BEFORE, NUM_CALIBRATION_IMAGES, STEM, ExportData, Range
from thumbnet.models.program import Block, Program

SILU_LOWEST = -0.2784645427610738  # of x * sigmoid(x), at x = -1.278
SILU_LOWEST_AT = -1.2784645427610738
GATE_SHUT_AT = -6.25  # sigmoid(x) is below half of LOGISTIC's step of 1/256 there, so the block's output is 0
# How much of the highest value seen in 1,000 training images is kept, so that the rest has finer steps: chosen by the
# error of logits on held-out training images. The first maps have rarer outliers: edges.
KEPT_FIRST, KEPT = 0.6, 0.8
STEM_POWER = 0.5  # of the stem's ranges, by which its channels are divided; chosen likewise
INT16_MOST = 32767


def build_graph(
    program: Program, data: ExportData, *, camera: tuple[int, int] | None = None, decision: Decision | None = None
) -> Graph:
    """The graph of an equalised program.

    Args:
        data: the model's, with ranges.
        decision: how its logits become an answer; a threshold is in the graph as a bias of the logits, so that the
            likelier class is the answer.
        camera: height and width of RGB pictures that are shrunk to the network's size, and made grey where it is, in
            the graph; None: it takes pictures of the network's own shape.
    """
    assert data.ranges is not None
    program, ranges = with_even_stem(program, data.ranges)
    first, others = (1 - (1 - kept) * min(data.num_images / NUM_CALIBRATION_IMAGES, 1) for kept in (KEPT_FIRST, KEPT))
    layers = Layers()
    channels, height, width = program.image_shape
    shape = (1, height, width, channels) if camera is None else (1, *camera, 3)
    pixels = layers.tensor("image", shape, MapScale(1.0, 0), UINT8)
    layers.graph.input = pixels.position
    x = layers.convert(pixels, "pixels", PIXELS, INT8)
    if camera is not None:
        x = _fit(layers, x, program)
    x = _add_stem(layers, x, program, first * float(ranges[STEM].high.max()))
    inputs = ranges[STEM]
    for block in program.blocks:
        kept = first if block is program.blocks[0] else others
        x = _add_block(layers, x, block, _block_ranges(block, ranges, inputs, kept=kept))
        inputs = ranges[f"{block.name}{AFTER}"]
    layers.graph.output = _add_head(layers, x, program, inputs, decision).position
    return layers.graph


def with_even_stem(program: Program, ranges: Mapping[str, Range]) -> tuple[Program, Mapping[str, Range]]:
    """The same program, and its ranges, with the stem's output channels brought nearer to one range: exact, since a
    ReLU lets a positive factor pass, and the first block has no shortcut."""
    high = ranges[STEM].high
    factor = np.where(high > 0, high, 1).astype(np.float32) ** STEM_POWER
    stem = replace(program.stem, filters=program.stem.filters / factor[:, None, None, None])
    first = program.blocks[0]
    assert not first.has_shortcut
    if first.pointwise is None:
        first = replace(first, filters=first.filters * factor[:, None, None])
    else:
        first = replace(first, pointwise=first.pointwise * factor)
    changed = replace(program, stem=stem, blocks=(first, *program.blocks[1:]))
    return changed, {**ranges, STEM: Range(ranges[STEM].low / factor, high / factor)}


def _fit(layers: Layers, x: Map, program: Program) -> Map:
    """A camera's picture in the network's shape: each pixel the average of a rectangle."""
    sides = program.image_shape[1:]
    factors = tuple(max(1, -(-large // small)) for large, small in zip(x.shape[1:3], sides, strict=True))
    enlarged = (sides[0] * factors[0], sides[1] * factors[1])
    if enlarged != x.shape[1:3]:
        x = layers.resize(x, "resized", enlarged)
    if factors != (1, 1):
        x = layers.pool(x, "shrunk", (factors[0], factors[1]), average=True)
    if program.image_shape[0] == 1:
        # Of red, green and blue, whose shares of brightness are 0.299, 0.587 and 0.114; pixels are int8 less -128.
        shares = np.array([65, 127, 25], np.int8).reshape(1, 3, 1, 1)
        filters = Filters(shares, np.array([1 / 217], np.float32), np.zeros(1, np.int32))
        x = layers.convolve(x, "grey", filters, PIXELS)
    return x


def _add_stem(layers: Layers, x: Map, program: Program, highest: float) -> Map:
    stem = program.stem
    x = layers.frame(x, "framed", stem.padding, np.rint(program.mean - 128).astype(np.int8))
    scale = map_scale(0, highest)
    filters = quantise_filters(
        stem.filters,
        np.zeros(len(stem.filters), np.float32),
        moments=moments_of_pixels(stem.filters),
        before=x.scale,
        after=scale,
        subtracted=program.mean.repeat(stem.filters.shape[2] * stem.filters.shape[3]),
    )
    return layers.convolve(x, STEM, filters, scale, stride=stem.stride, relu=True)


@dataclass(frozen=True)
class BlockRanges:
    """Ranges of a block's maps: of its input as it was measured, the others as they are kept."""

    inputs: Range
    pointwise: MapScale
    before: Range
    after: Range


def _block_ranges(block: Block, ranges: Mapping[str, Range], inputs: Range, *, kept: float) -> BlockRanges:
    before, after = ranges[f"{block.name}{BEFORE}"], ranges[f"{block.name}{AFTER}"]
    return BlockRanges(
        inputs=inputs,
        pointwise=MapScale(kept / 127, 0),  # equalised: from -1 to 1
        before=Range(np.maximum(before.low, GATE_SHUT_AT), before.high * kept),
        after=Range(after.low, after.high * kept),
    )


def _add_block(layers: Layers, x: Map, block: Block, ranges: BlockRanges) -> Map:
    name, after = block.name, _scale_of(ranges.after)
    y = _add_filters(layers, x, block, ranges)
    gate = layers.sigmoid(y, f"{name}.gate")
    if not block.has_shortcut:
        return layers.multiply(y, gate, f"{name}{AFTER}", after)
    y = layers.multiply(y, gate, f"{name}.activated", _scale_of(_after_silu(ranges.before)))
    return layers.add(x, y, f"{name}{AFTER}", after)


def _add_filters(layers: Layers, x: Map, block: Block, ranges: BlockRanges) -> Map:
    """A block's convolutions and its pool, up to the SiLU."""
    name, bias, before, scale = block.name, block.bias, ranges.before, _scale_of(ranges.before)
    whole = f"{name}{BEFORE}"
    if block.sign is not None:
        bias = bias * block.sign
        ends = before.low * block.sign, before.high * block.sign
        scale = _scale_of(Range(np.minimum(*ends), np.maximum(*ends)))
    if block.pointwise is not None:
        x = _add_pointwise(layers, x, block, ranges)
        moments = moments_of_maps(np.ones(1), 3, block.dilation, mean_share=EQUAL_MEAN, spread_share=EQUAL_SPREAD)
    else:
        moments = moments_of_maps(ranges.inputs.largest, 3, block.dilation, mean_share=MEAN, spread_share=SPREAD)
    keeps_sides = block.stride == 1
    if not keeps_sides:  # SAME would pad even sides after the pixels only
        x = layers.pad(x, f"{name}.padded", block.dilation)
    filters = quantise_filters(block.filters, bias, moments=moments, before=x.scale, after=scale)
    x = layers.convolve(
        x,
        f"{name}.convolved" if block.pools else whole,
        filters,
        scale,
        depthwise=block.is_separable,
        stride=block.stride,
        dilation=block.dilation,
        same=keeps_sides,
    )
    if block.pools:
        x = layers.pool(x, whole if block.sign is None else f"{name}.pooled", (2, 2))
    if block.sign is not None:
        sign = layers.constant(f"{name}.sign", block.sign.astype(np.int8)[None, None, None], MapScale(1.0, 0))
        x = layers.multiply(x, sign, whole, _scale_of(before))
    return x


def _add_pointwise(layers: Layers, x: Map, block: Block, ranges: BlockRanges) -> Map:
    assert block.pointwise is not None
    moments = moments_of_maps(ranges.inputs.largest, 1, 1, mean_share=MEAN, spread_share=SPREAD)
    silent = np.zeros(len(block.pointwise), np.float32)
    matrix = block.pointwise[:, :, None, None]
    filters = quantise_filters(matrix, silent, moments=moments, before=x.scale, after=ranges.pointwise)
    return layers.convolve(x, f"{block.name}.pointwise", filters, ranges.pointwise)


def _scale_of(found: Range) -> MapScale:
    return map_scale(float(found.low.min()), float(found.high.max()))


def _after_silu(before: Range) -> Range:
    """The range of x * sigmoid(x), which falls up to x = -1.278 and then rises."""
    low, high = (0.5 * x * (1 + np.tanh(0.5 * x)) for x in (before.low, before.high))
    turns = (before.low < SILU_LOWEST_AT) & (before.high > SILU_LOWEST_AT)
    return Range(np.where(turns, SILU_LOWEST, np.minimum(low, high)), np.maximum(low, high))


def _add_head(layers: Layers, x: Map, program: Program, found: Range, decision: Decision | None) -> Map:
    """int16 has 128 steps for each of the map's, and the bounds of a mean are those of the map."""
    fine = layers.convert(x, "fine", MapScale(x.scale.scale / 128, 0), INT16)
    mean = layers.mean_int16(fine, "mean")
    head = program.head.astype(np.float64)
    most = np.maximum(np.abs(head * found.low), np.abs(head * found.high)).sum(axis=1).max()
    bias = None
    if decision is not None:
        bias = moved_by(decision)
        most += np.abs(bias).max()
    scale = MapScale(max(float(most), 1e-6) / INT16_MOST, 0)
    logits = layers.matrix_int16(mean, "logits", program.head, scale, bias=bias)
    fine = layers.softmax_int16(logits, "fine_probabilities")
    coarse = layers.convert(fine, "coarse_probabilities", PROBABILITIES, INT8)
    return layers.convert(coarse, "probabilities", MapScale(1 / 256, 0), UINT8)
