"""A network as a graph, drawn from its trace without any external program: SVG, PNG, or DOT text for Graphviz.

What works value by value (activation, normalisation, dropout) is written in the box of the layer before it, so a block
of the network is a box of the picture; residual edges run beside the main chain. Equal models give equal bytes.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import matplotlib.style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Patch
from matplotlib.path import Path as Outline
from torch import nn

from thumbnet.errors import ConfigError
from thumbnet.models.trace import Node, trace_model
from thumbnet.views.figure import (
    INK,
    MUTED,
    STYLE,
    TEXT_PT,
    line_height_px,
    new_figure,
    png_bytes,
    styled,
    text_width_px,
)  # fmt: skip
from thumbnet.views.layout import Edge, Point, Size, place_blocks

GraphFormat: TypeAlias = Literal["svg", "png", "dot"]
FORMATS = ("svg", "png", "dot")
MAX_HEIGHT_PX = 1200.0  # of a column
MARGIN_PX = 24.0
PADDING_PX = 12.0
CORNER_PX = 8.0
DETAIL_PT = 8.0
SHORT_NAMES = {"BatchNorm2d": "BN", "relu": "ReLU", "silu": "SiLU", "gelu": "GELU"}
ELEMENT_WISE = (
    "ReLU", "SiLU", "GELU", "Hardswish", "LeakyReLU", "ReLU6", "Sigmoid", "Tanh", "BatchNorm2d", "Dropout", "relu",
    "silu", "gelu", "sigmoid", "hardswish",
)  # fmt: skip
# Light tints of the palette in views/figure.py, by the kind of a box's first layer; its outline is the darker one.
COLOURS = {
    "convolution": ("#dbeaf5", "#0072b2"),
    "depthwise": ("#e3f4fc", "#56b4e9"),
    "pool": ("#fbefd5", "#e69f00"),
    "linear": ("#d9f0e8", "#009e73"),
    "merge": ("#f6e6ee", "#cc79a7"),
    "other": ("#f2f2f2", "#9a9a9a"),
}
SKIP_COLOUR = "#cc79a7"


@dataclass(frozen=True)
class Block:
    """A box of the picture: its title, the lines under it, its kind (a key of COLOURS), the blocks that it takes."""

    title: str
    details: tuple[str, ...]
    kind: str
    inputs: tuple[int, ...]


def draw_graph(model: nn.Module, image_shape: tuple[int, int, int], format: GraphFormat = "svg") -> str | bytes:  # noqa: A002  # the word that users know
    """The graph of a model for images of this shape: SVG or DOT as text, PNG as bytes.

    Raises:
        ConfigError: another format; ModelError: the model cannot take such an image.
    """
    if format not in FORMATS:
        raise ConfigError(f"cannot draw a graph as {format!r}", hint=f"choose one of {', '.join(FORMATS)}")
    blocks = fold_blocks(trace_model(model, image_shape).nodes)
    if format == "dot":
        return _dot(blocks)
    figure = draw_blocks(blocks)
    return png_bytes(figure) if format == "png" else _svg(figure)


def fold_blocks(nodes: Sequence[Node]) -> list[Block]:
    """The blocks of a trace in order: a layer, with what works value by value on its output alone."""
    behind = {index: node.inputs[0] for index, node in enumerate(nodes) if node.role == "group"}
    num_readers = dict.fromkeys(range(len(nodes)), 0)
    block_of: dict[int, int] = {}
    members: list[list[Node]] = []
    calls = [
        (index, replace(node, inputs=tuple(behind.get(source, source) for source in node.inputs)))
        for index, node in enumerate(nodes)
        if index not in behind
    ]
    for _, node in calls:
        for source in node.inputs:
            num_readers[source] += 1
    for index, node in calls:
        source = node.inputs[0] if node.inputs else index
        if node.kind in ELEMENT_WISE and source != 0 and len(node.inputs) == 1 and num_readers[source] == 1:
            block_of[index] = block_of[source]
            members[block_of[source]].append(node)
        else:
            block_of[index] = len(members)
            members.append([node])
    return [
        _block(nodes, folded, tuple(dict.fromkeys(block_of[source] for source in folded[0].inputs)))
        for folded in members
    ]


@styled
def draw_blocks(blocks: Sequence[Block]) -> Figure:
    """The blocks as boxes from top to bottom, in columns if there are many, with a legend of the kinds."""
    layout = place_blocks(
        [block.inputs for block in blocks], [_size(block) for block in blocks], max_height=MAX_HEIGHT_PX
    )
    kinds = [kind for kind in COLOURS if any(block.kind == kind for block in blocks)]
    has_skips = any(edge.is_skip for edge in layout.edges)
    legend_height = 2.2 * line_height_px(DETAIL_PT)
    legend_width = sum(text_width_px(kind, DETAIL_PT) + 60 for kind in [*kinds, "skip connection"])
    width = max(layout.width, legend_width) + 2 * MARGIN_PX
    figure = new_figure(width, layout.height + legend_height + 2 * MARGIN_PX)
    width, height = figure.bbox.width, figure.bbox.height
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(height, 0))
    axes.set_axis_off()
    left = (width - layout.width) / 2
    for edge in layout.edges:
        _draw_edge(axes, edge, left)
    for block, box in zip(blocks, layout.boxes, strict=True):
        _draw_block(axes, block, left + box.left, MARGIN_PX + box.top, box.width, box.height)
    handles: list[Patch | FancyArrowPatch] = [
        Patch(facecolor=COLOURS[kind][0], edgecolor=COLOURS[kind][1], label=kind) for kind in kinds
    ]
    if has_skips:
        handles.append(Patch(facecolor=SKIP_COLOUR, edgecolor=SKIP_COLOUR, label="skip connection"))
    axes.legend(handles=handles, loc="lower center", ncols=len(handles), fontsize=DETAIL_PT, handlelength=1.2)
    return figure


def _block(nodes: Sequence[Node], folded: Sequence[Node], inputs: tuple[int, ...]) -> Block:
    first, last = folded[0], folded[-1]
    shape = " x ".join(str(side) for side in last.output_shape)
    num_params = sum(node.num_params for node in folded)
    counted = [f"{shape}  ·  {num_params:,} parameters" if num_params else shape]
    followers = [SHORT_NAMES.get(node.kind, node.kind) for node in folded[1:]]
    if first.kind in ("Conv2d", "conv2d") and first.window is not None:
        window, in_channels = first.window, nodes[first.inputs[0]].output_shape[0]
        words = [f"{window.kernel[0]}x{window.kernel[1]}, {in_channels} to {first.output_shape[0]}"]
        words += [f"stride {window.stride[0]}"] if window.stride[0] != 1 else []
        words += [f"dilation {window.dilation[0]}"] if window.dilation[0] != 1 else []
        words += [f"{window.groups} groups"] if 1 < window.groups < in_channels else []
        is_depthwise = 1 < window.groups == in_channels
        title = f"{'Depthwise' if is_depthwise else 'Conv'} {', '.join(words)}"
        kind = "depthwise" if is_depthwise else "convolution"
    elif first.kind in ("Linear", "linear"):
        title, kind = f"Linear, {nodes[first.inputs[0]].output_shape[-1]} to {first.output_shape[-1]}", "linear"
    elif "pool" in first.kind.lower() or first.kind == "mean":
        window_words = f" {first.window.kernel[0]}x{first.window.kernel[1]}" if first.window is not None else ""
        title, kind = f"{first.kind}{window_words}", "pool"
    elif len(first.inputs) > 1:
        title, kind = {"add": "+", "mul": "x"}.get(first.kind, first.kind), "merge"
        counted = [] if title == "+" else counted
    else:
        title, kind = SHORT_NAMES.get(first.kind, first.kind), "other"
    if kind == "merge":
        return Block("  ·  ".join([title, *followers]), tuple(counted), kind, inputs)
    details = ["  ·  ".join(followers)] if followers else []
    return Block(title, (*details, *counted), kind, inputs)


def _size(block: Block) -> Size:
    widths = [text_width_px(block.title, TEXT_PT), *(text_width_px(line, DETAIL_PT) for line in block.details)]
    height = line_height_px(TEXT_PT) + len(block.details) * line_height_px(DETAIL_PT)
    width = max(widths) + 2 * PADDING_PX
    return Size(width, height + PADDING_PX, width)


def _draw_block(axes: Axes, block: Block, left: float, top: float, width: float, height: float) -> None:
    fill, outline = COLOURS[block.kind]
    rounding = height / 2 if block.kind == "merge" else 5.0
    shape = FancyBboxPatch(
        (left, top), width, height, boxstyle=f"round,pad=0,rounding_size={rounding}", facecolor=fill, edgecolor=outline,
        linewidth=1.1, zorder=3,
    )  # fmt: skip
    axes.add_patch(shape)
    lines = [(block.title, TEXT_PT, INK), *((line, DETAIL_PT, MUTED) for line in block.details)]
    y = top + PADDING_PX / 2
    for text, size, colour in lines:
        y += line_height_px(size) / 2
        axes.text(left + width / 2, y, text, ha="center", va="center_baseline", fontsize=size, color=colour, zorder=4)
        y += line_height_px(size) / 2


def _draw_edge(axes: Axes, edge: Edge, left: float) -> None:
    points = [(left + x, MARGIN_PX + y) for x, y in edge.points]
    colour = SKIP_COLOUR if edge.is_skip else MUTED
    arrow = FancyArrowPatch(
        path=_rounded(points), arrowstyle="-|>", mutation_scale=9, color=colour, linewidth=1.3, fill=False, zorder=2
    )
    axes.add_patch(arrow)


def _rounded(points: Sequence[Point]) -> Outline:
    """A line through the points with its corners rounded."""
    vertices, codes = [points[0]], [Outline.MOVETO]
    for before, corner, after in zip(points, points[1:], points[2:], strict=False):
        vertices += [_towards(corner, before), corner, _towards(corner, after)]
        codes += [Outline.LINETO, Outline.CURVE3, Outline.CURVE3]
    return Outline([*vertices, points[-1]], [*codes, Outline.LINETO])


def _towards(start: Point, end: Point) -> Point:
    """The point CORNER_PX from `start` on the way to `end`, half-way if that is nearer."""
    length = abs(end[0] - start[0]) + abs(end[1] - start[1])  # the lines run along the axes
    share = min(CORNER_PX / length, 0.5) if length else 0.0
    return start[0] + share * (end[0] - start[0]), start[1] + share * (end[1] - start[1])


def _svg(figure: Figure) -> str:
    buffer = io.StringIO()
    # Text stays text, so that it can be searched; the salt and the absent date make equal figures equal bytes.
    with matplotlib.style.context({**STYLE, "svg.hashsalt": "thumbnet", "svg.fonttype": "none"}, after_reset=True):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return buffer.getvalue()


def _dot(blocks: Sequence[Block]) -> str:
    lines = ["digraph network {", '  node [shape=box, style="rounded,filled", fontname="sans-serif"];']
    for index, block in enumerate(blocks):
        label = "\\n".join(text.replace('"', '\\"') for text in (block.title, *block.details))
        fill, outline = COLOURS[block.kind]
        lines.append(f'  n{index} [label="{label}", fillcolor="{fill}", color="{outline}"];')
    lines += [f"  n{source} -> n{index};" for index, block in enumerate(blocks) for source in block.inputs]
    return "\n".join([*lines, "}"])
