"""A network as a graph, drawn from its trace without any external program: SVG, PNG, or DOT text for Graphviz.

Residual edges run beside the main chain. Equal models give equal bytes.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from functools import lru_cache

import matplotlib.style
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyBboxPatch, PathPatch, Polygon
from matplotlib.path import Path as Outline
from torch import nn

from thumbnet.errors import ConfigError
from thumbnet.models.trace import Trace, trace_model
from thumbnet.views.blocks import TIMES, Block, BlockKind, fold_blocks
from thumbnet.views.figure import (
    BLUE,
    GREEN,
    INK,
    MUTED,
    ORANGE,
    PURPLE,
    SKY,
    STYLE,
    TEXT_PT,
    VERMILION,
    line_height_px,
    new_figure,
    only_saved,
    png_bytes,
    styled,
    text_width_px,
)
from thumbnet.views.fonts import FONT
from thumbnet.views.layout import Box, Edge, Point, Size, place_blocks

FORMATS = ("svg", "png", "dot")

MAX_HEIGHT_PX = 1250.0  # of a column
MARGIN_PX, PADDING_PX = 30.0, 14.0
CORNER_PX, SKIP_CORNER_PX = 10.0, 34.0
SIGN_PX = 30.0  # diameter of an addition's circle
ARROW_PX, ARROW_HALF_WIDTH_PX, DOT_PX = 10.0, 4.5, 8.0
TITLE_PT, DETAIL_PT, SIGN_PT = 14.0, 8.0, 13.0
SWATCH_PX, SPACE_PX = 18.0, 8.0
LEGEND_LINE_PX = 1.4 * line_height_px(DETAIL_PT)
NOTE = f"Under each name: channels{TIMES}height{TIMES}width of the result, and parameters."
COLOURS: dict[BlockKind, str] = {
    "image": "#8a8a8a",
    "convolution": BLUE,
    "dilated convolution": PURPLE,
    "depthwise convolution": GREEN,
    "pointwise or linear": SKY,
    "pooling": ORANGE,
    "merge": INK,
    "other": "#8a8a8a",
}
UNNAMED = ("image", "merge")  # kinds that need no legend
SKIP_COLOUR = VERMILION
TINT = 0.14  # share of a kind's colour in the fill of its boxes, the rest is white
SVG_FONTS = f"'{FONT}', Verdana, sans-serif"  # text stays text; Verdana is as wide, other fonts narrower


def draw_graph(model: nn.Module, image_shape: tuple[int, int, int], format: str = "svg") -> str | bytes:  # noqa: A002  # the word that users know
    """The graph of a model for images of this shape (channels, height, width): SVG or DOT as text, PNG as bytes.

    Raises:
        ConfigError: another format.
        ModelError: the model cannot take such an image.
    """
    if format not in FORMATS:
        raise ConfigError(f"cannot draw a graph as {format!r}", hint=f"choose one of {', '.join(FORMATS)}")
    trace = trace_model(model, image_shape)
    if format == "dot":
        return _dot(fold_blocks(trace.nodes))
    figure = _figure_of(trace, type(model).__name__)
    return png_bytes(figure) if format == "png" else _svg(figure)


@lru_cache(maxsize=16)
def graph_svg(trace: Trace, title: str) -> str:
    """The graph of a model that was traced before, as SVG; drawn once for all models of one form, such as those of
    several seeds."""
    with only_saved():
        return _svg(_figure_of(trace, title))


def _figure_of(trace: Trace, title: str) -> Figure:
    return draw_blocks(fold_blocks(trace.nodes), title, _totals(trace))


@styled
def draw_blocks(blocks: Sequence[Block], title: str, subtitle: str) -> Figure:
    """The blocks from top to bottom, in columns if there are many, under a title and above a legend of the kinds."""
    sizes = _sizes(blocks)
    layout = place_blocks([block.inputs for block in blocks], sizes, max_height=MAX_HEIGHT_PX)
    kinds = [kind for kind in COLOURS if kind not in UNNAMED and any(block.kind == kind for block in blocks)]
    entries = [*kinds, *(["skip connection"] if any(edge.is_skip for edge in layout.edges) else [])]
    text_width = max(text_width_px(title, TITLE_PT), text_width_px(subtitle, TEXT_PT), text_width_px(NOTE, DETAIL_PT))
    room = max(layout.width, text_width)
    legend = _flow(entries, room)
    header_height = line_height_px(TITLE_PT) + line_height_px(TEXT_PT)
    legend_height = (len(legend) + 1) * LEGEND_LINE_PX
    figure = new_figure(room + 2 * MARGIN_PX, header_height + layout.height + legend_height + 4 * MARGIN_PX)
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, figure.bbox.width), ylim=(figure.bbox.height, 0))
    axes.set_axis_off()

    _text(axes, (MARGIN_PX, MARGIN_PX + line_height_px(TITLE_PT) / 2), title, TITLE_PT, INK, "left")
    subtitle_y = MARGIN_PX + header_height - line_height_px(TEXT_PT) / 2
    _text(axes, (MARGIN_PX, subtitle_y), subtitle, TEXT_PT, MUTED, "left")
    top = header_height + 2 * MARGIN_PX
    on_chain = {edge.source for edge in layout.edges if not edge.is_skip}
    for edge in sorted(layout.edges, key=lambda edge: not edge.is_skip):
        _draw_edge(axes, edge, (MARGIN_PX, top), has_dot=edge.is_skip and edge.source in on_chain)
    for block, box, size in zip(blocks, layout.boxes, sizes, strict=True):
        _draw_block(axes, block, box, size, (MARGIN_PX, top))
    y = top + layout.height + MARGIN_PX + LEGEND_LINE_PX / 2
    for line in legend:
        for x, entry in line:
            _draw_entry(axes, entry, (MARGIN_PX + x, y))
        y += LEGEND_LINE_PX
    _text(axes, (MARGIN_PX, y), NOTE, DETAIL_PT, MUTED, "left")
    return figure


def _totals(trace: Trace) -> str:
    return (
        f"{trace.num_params:,} parameters · {trace.macs / 1e6:,.1f} M multiply-accumulates"
        f" · receptive field {trace.receptive_field} pixels"
    )


def _sizes(blocks: Sequence[Block]) -> list[Size]:
    """Boxes are equally wide, as wide as the widest text; a sign has room for its details on its left."""
    texts = [
        (text, TEXT_PT if text == block.title else DETAIL_PT)
        for block in blocks
        for text in (block.title, *block.details)
    ]
    width = max(text_width_px(text, size) for text, size in texts) + 2 * PADDING_PX
    return [
        Size(width, SIGN_PX, SIGN_PX)
        if block.is_sign
        else Size(width, line_height_px(TEXT_PT) + len(block.details) * line_height_px(DETAIL_PT) + PADDING_PX, width)
        for block in blocks
    ]


def _flow(entries: Sequence[str], room: float) -> list[list[tuple[float, str]]]:
    """The entries of the legend on lines at most `room` wide, each with its x."""
    lines: list[list[tuple[float, str]]] = [[]]
    x = 0.0
    for entry in entries:
        width = SWATCH_PX + SPACE_PX + text_width_px(entry, DETAIL_PT)
        if lines[-1] and x + width > room:
            lines.append([])
            x = 0.0
        lines[-1].append((x, entry))
        x += width + 3 * SPACE_PX
    return lines


def _draw_block(axes: Axes, block: Block, box: Box, size: Size, corner: Point) -> None:
    x, y = corner[0] + box.middle[0], corner[1] + box.middle[1]
    if block.is_sign:
        axes.add_patch(Circle((x, y), SIGN_PX / 2, facecolor="white", edgecolor=INK, linewidth=1.4, zorder=3))
        _text(axes, (x, y), block.title, SIGN_PT, INK, "center")
        _text(axes, (x - SIGN_PX / 2 - SPACE_PX, y), " · ".join(block.details), DETAIL_PT, MUTED, "right")
        return
    _add_box(axes, (x - size.width / 2, y - size.height / 2), size.width, size.height, COLOURS[block.kind])
    y += (PADDING_PX - size.height) / 2
    for text, points, ink in [(block.title, TEXT_PT, INK), *((line, DETAIL_PT, MUTED) for line in block.details)]:
        _text(axes, (x, y + line_height_px(points) / 2), text, points, ink, "center")
        y += line_height_px(points)


def _add_box(axes: Axes, corner: Point, width: float, height: float, colour: str) -> None:
    style = f"round,pad=0,rounding_size={min(6.0, height / 4)}"
    axes.add_patch(
        FancyBboxPatch(
            corner, width, height, boxstyle=style, facecolor=_tint(colour), edgecolor=colour, linewidth=1.1, zorder=3
        )
    )


def _tint(colour: str) -> str:
    red, green, blue = to_rgb(colour)
    return to_hex((1 - TINT * (1 - red), 1 - TINT * (1 - green), 1 - TINT * (1 - blue)))


def _text(axes: Axes, point: Point, text: str, size_pt: float, colour: str, side: str) -> None:
    axes.text(*point, text, ha=side, va="center_baseline", fontsize=size_pt, color=colour, zorder=4)


def _draw_entry(axes: Axes, entry: str, point: Point) -> None:
    x, y = point
    if entry in COLOURS:
        _add_box(axes, (x, y - SWATCH_PX / 3), SWATCH_PX, SWATCH_PX * 2 / 3, COLOURS[entry])
    else:
        _add_line(axes, Outline([(x, y), (x + SWATCH_PX, y)]), SKIP_COLOUR)
    _text(axes, (x + SWATCH_PX + SPACE_PX, y), entry, DETAIL_PT, INK, "left")


def _draw_edge(axes: Axes, edge: Edge, corner: Point, *, has_dot: bool) -> None:
    """A line with rounded corners that ends in an arrow; it starts at a dot where it leaves another line."""
    colour = SKIP_COLOUR if edge.is_skip else MUTED
    points = [(corner[0] + x, corner[1] + y) for x, y in edge.points]
    if has_dot:
        points = points[1:]
        axes.add_patch(Circle(points[0], DOT_PX / 2, facecolor=colour, edgecolor="none", zorder=2.6))
    (x, y), end = points[-2:]
    length = abs(end[0] - x) + abs(end[1] - y)  # lines run along the axes
    along = ((end[0] - x) / length, (end[1] - y) / length)
    base = (end[0] - ARROW_PX * along[0], end[1] - ARROW_PX * along[1])
    across = (ARROW_HALF_WIDTH_PX * along[1], ARROW_HALF_WIDTH_PX * along[0])
    wings = [(base[0] + across[0], base[1] + across[1]), (base[0] - across[0], base[1] - across[1])]
    _add_line(axes, _rounded([*points[:-1], base], SKIP_CORNER_PX if edge.is_skip else CORNER_PX), colour)
    axes.add_patch(Polygon([end, *wings], facecolor=colour, edgecolor="none", zorder=2.5))


def _add_line(axes: Axes, outline: Outline, colour: str) -> None:
    axes.add_patch(PathPatch(outline, facecolor="none", edgecolor=colour, linewidth=1.5, capstyle="butt", zorder=2))


def _rounded(points: Sequence[Point], radius: float) -> Outline:
    """A line through the points with rounded corners."""
    vertices, codes = [points[0]], [Outline.MOVETO]
    for before, corner, after in zip(points, points[1:], points[2:], strict=False):
        vertices += [_towards(corner, before, radius), corner, _towards(corner, after, radius)]
        codes += [Outline.LINETO, Outline.CURVE3, Outline.CURVE3]
    return Outline([*vertices, points[-1]], [*codes, Outline.LINETO])


def _towards(start: Point, end: Point, radius: float) -> Point:
    """The point `radius` from `start` on the way to `end`, half-way if that is nearer."""
    length = abs(end[0] - start[0]) + abs(end[1] - start[1])
    share = min(radius / length, 0.5) if length else 0.0
    return start[0] + share * (end[0] - start[0]), start[1] + share * (end[1] - start[1])


def _svg(figure: Figure) -> str:
    buffer = io.StringIO()
    # The salt makes the names of its parts, and with no date the whole file, the same each time.
    with matplotlib.style.context({**STYLE, "svg.hashsalt": "thumbnet", "svg.fonttype": "none"}, after_reset=True):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return buffer.getvalue().replace(f"'{FONT}'", SVG_FONTS)


def _dot(blocks: Sequence[Block]) -> str:
    lines = ["digraph network {", '  node [shape=box, style="rounded,filled", fontname="sans-serif"];']
    for index, block in enumerate(blocks):
        label = "\\n".join(text.replace("\\", "\\\\").replace('"', '\\"') for text in (block.title, *block.details))
        colour = COLOURS[block.kind]
        lines.append(f'  n{index} [label="{label}", fillcolor="{_tint(colour)}", color="{colour}"];')
    lines += [f"  n{source} -> n{index};" for index, block in enumerate(blocks) for source in block.inputs]
    return "\n".join([*lines, "}", ""])
