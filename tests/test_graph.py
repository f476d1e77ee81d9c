"""The network graph: its blocks and edges, a layout in which nothing overlaps, and equal files for equal models."""

# ruff: noqa: RUF001  # the pictures' texts hold the sign of multiplication

from __future__ import annotations

import re
from itertools import combinations, pairwise
from xml.etree import ElementTree

import matplotlib as mpl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.backends.backend_agg import FigureCanvasAgg
from torch import Tensor, nn

from thumbnet.errors import ConfigError, ModelError
from thumbnet.models.registry import create_model, list_models
from thumbnet.models.trace import trace_model
from thumbnet.views.blocks import Block, fold_blocks
from thumbnet.views.graph import FORMATS, draw_blocks, draw_graph, graph_svg
from thumbnet.views.layout import Box, Layout, Point, Size, place_blocks

SHAPE = (3, 32, 32)
SLACK = 1e-6
BOX_SIZE = Size(100.0, 50.0, 100.0)


class Branches(nn.Module):
    """Parallel branches, a concatenation, a gate: what the models here do not have yet."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.wide = nn.Sequential(nn.Conv2d(8, 8, 1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1, groups=2))
        self.short = nn.Sequential(nn.MaxPool2d(3, 1, 1), nn.Conv2d(8, 8, 1))
        self.gate = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(24, 24, 1), nn.Sigmoid())
        self.head = nn.Linear(24, 10)

    def forward(self, images: Tensor) -> Tensor:
        maps = self.stem(images)
        maps = torch.cat([maps, self.wide(maps), self.short(maps)], dim=1)
        return self.head((maps * self.gate(maps)).mean((2, 3)))


def blocks_of(model: nn.Module) -> tuple[Block, ...]:
    return fold_blocks(trace_model(model, SHAPE).nodes)


def test_the_blocks_of_dilated() -> None:
    assert [(block.title, block.kind, block.inputs) for block in blocks_of(create_model("dilated"))] == [
        ("Image", "image", ()),
        ("Conv 3×3, 3 → 32", "convolution", (0,)),
        ("Conv 3×3, 32 → 32", "convolution", (1,)),
        ("Conv 3×3, 32 → 64", "convolution", (2,)),
        ("Conv 1×1, 64 → 32", "pointwise or linear", (3,)),
        ("+", "merge", (4, 1)),
        ("Conv 3×3, 32 → 32, dilation 2", "dilated convolution", (5,)),
        ("Conv 3×3, 32 → 62", "convolution", (6,)),
        ("Conv 3×3, 62 → 72", "convolution", (7,)),
        ("Conv 1×1, 72 → 32", "pointwise or linear", (8,)),
        ("+", "merge", (9, 6)),
        ("Conv 3×3, 32 → 32, dilation 2", "dilated convolution", (10,)),
        ("Conv 3×3, 32 → 64", "convolution", (11,)),
        ("Depthwise 1×1, 64 → 64", "depthwise convolution", (12,)),
        ("Conv 1×1, 64 → 84", "pointwise or linear", (13,)),
        ("Conv 3×3, 84 → 84, dilation 2", "dilated convolution", (14,)),
        ("AvgPool 20×20", "pooling", (15,)),
        ("Conv 1×1, 84 → 10", "pointwise or linear", (16,)),
    ]  # fmt: skip


def test_what_follows_a_layer_is_in_its_block() -> None:
    blocks = blocks_of(create_model("dilated"))
    assert blocks[1].details == ("ReLU · BatchNorm · Dropout", "32×32×32 · 928 parameters")
    assert blocks[5].details == ("ReLU",)
    assert blocks[14].details == ("ReLU · BatchNorm · Dropout", "84×26×26 · 5,544 parameters")
    assert blocks[16].details == ("84×1×1",)
    assert blocks[17].details == ("flatten", "10 · 840 parameters")


def test_the_blocks_of_branches() -> None:
    blocks = blocks_of(Branches())
    assert [(block.title, block.inputs) for block in blocks[2:]] == [
        ("Conv 1×1, 8 → 8", (1,)),
        ("Conv 3×3, 8 → 8, 2 groups", (2,)),
        ("MaxPool 3×3", (1,)),
        ("Conv 1×1, 8 → 8", (4,)),
        ("Concatenate", (1, 3, 5)),
        ("Global average pool", (6,)),
        ("Conv 1×1, 24 → 24", (7,)),
        ("×", (6, 8)),
        ("Global average pool", (9,)),
        ("Linear, 24 → 10", (10,)),
    ]  # fmt: skip


def test_a_value_read_twice_is_not_hidden_in_a_block() -> None:
    class PreActivation(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.norm, self.body = nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 1)

        def forward(self, images: Tensor) -> Tensor:
            maps = self.stem(images)
            return maps + self.body(self.norm(maps).relu())

    assert [(block.title, block.details[0], block.inputs) for block in blocks_of(PreActivation())[2:4]] == [
        ("BatchNorm", "ReLU", (1,)),
        ("Conv 1×1, 4 → 4", "4×32×32 · 20 parameters", (2,)),
    ]


def test_what_changes_the_image_or_the_number_of_values_has_its_own_block() -> None:
    class Sliced(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Conv2d(3, 4, 1)

        def forward(self, images: Tensor) -> Tensor:
            return self.body(images * 2)[:, :3]

    assert [(block.title, block.inputs) for block in blocks_of(Sliced())] == [
        ("Image", ()), ("mul", (0,)), ("Conv 1×1, 3 → 4", (1,)), ("getitem", (2,)),
    ]  # fmt: skip


@pytest.mark.parametrize("name", list_models())
def test_blocks_count_every_parameter(name: str) -> None:
    model = create_model(name)
    counts = [
        re.search(r"([\d,]+) parameters", detail) for block in blocks_of(model) for detail in block.details
    ]  # fmt: skip
    assert sum(int(count[1].replace(",", "")) for count in counts if count) == sum(
        parameter.numel() for parameter in model.parameters()
    )


@st.composite
def graphs(draw: st.DrawFn) -> tuple[list[tuple[int, ...]], list[Size]]:
    """Blocks that take one to three earlier ones, mostly the last, each of its own size."""
    num_blocks = draw(st.integers(2, 14))
    inputs: list[tuple[int, ...]] = [()]
    for block in range(1, num_blocks):
        others = draw(st.sets(st.integers(0, block - 1), max_size=2))
        inputs.append(tuple({block - 1, *others} if draw(st.booleans()) or not others else others))
    sizes = []
    for _ in inputs:
        width = draw(st.floats(30, 200))
        sizes.append(Size(width, draw(st.floats(20, 90)), width * draw(st.floats(0.2, 1))))
    return inputs, sizes


def segments(layout: Layout) -> list[tuple[int, int, Point, Point]]:
    return [(edge.source, edge.target, *ends) for edge in layout.edges for ends in pairwise(edge.points)]


def crosses(box: Box, start: Point, end: Point) -> bool:
    """Whether a horizontal or vertical segment enters the inside of a box."""
    return (
        min(start[0], end[0]) < box.left + box.width - SLACK
        and max(start[0], end[0]) > box.left + SLACK
        and min(start[1], end[1]) < box.top + box.height - SLACK
        and max(start[1], end[1]) > box.top + SLACK
    )


def coincide(start: Point, end: Point, other_start: Point, other_end: Point) -> bool:
    """Whether two horizontal or two vertical segments lie on one line and have a part in common."""
    for along, across in ((0, 1), (1, 0)):
        is_parallel = max(abs(a[across] - start[across]) for a in (end, other_start, other_end)) < SLACK
        first, last = sorted((start[along], end[along]))
        other_first, other_last = sorted((other_start[along], other_end[along]))
        if is_parallel and min(last, other_last) - max(first, other_first) > SLACK:
            return True
    return False


@settings(deadline=None, max_examples=150)
@given(graph=graphs(), max_height=st.sampled_from([200.0, 500.0, 5000.0]))
def test_nothing_overlaps(graph: tuple[list[tuple[int, ...]], list[Size]], max_height: float) -> None:
    inputs, sizes = graph
    layout = place_blocks(inputs, sizes, max_height=max_height)
    for one, other in combinations(layout.boxes, 2):
        assert (
            one.left + one.width <= other.left + SLACK
            or other.left + other.width <= one.left + SLACK
            or one.top + one.height <= other.top + SLACK
            or other.top + other.height <= one.top + SLACK
        )
    for box, size in zip(layout.boxes, sizes, strict=True):
        assert (box.width, box.height) == (size.width, size.height)
        assert -SLACK <= box.left <= layout.width - box.width + SLACK
        assert -SLACK <= box.top <= layout.height - box.height + SLACK
    for source, target, start, end in segments(layout):
        assert abs(start[0] - end[0]) < SLACK or abs(start[1] - end[1]) < SLACK, "edges run along the axes"
        assert all(
            -SLACK <= x <= layout.width + SLACK and -SLACK <= y <= layout.height + SLACK for x, y in (start, end)
        )
        for block, box in enumerate(layout.boxes):
            # The last part may pass the room at the right of its target's shape.
            assert block in (source, target) or not crosses(box, start, end), (block, source, target)
    for (source, target, *ends), (other_source, other_target, *other_ends) in combinations(segments(layout), 2):
        # Edges of one block may share a line, as far as they go the same way.
        assert source == other_source or target == other_target or not coincide(*ends, *other_ends)


@settings(deadline=None, max_examples=100)
@given(graph=graphs())
def test_every_input_has_its_edge(graph: tuple[list[tuple[int, ...]], list[Size]]) -> None:
    inputs, sizes = graph
    layout = place_blocks(inputs, sizes, max_height=10_000.0)
    wanted = [(source, target) for target, sources in enumerate(inputs) for source in sources]
    assert sorted((edge.source, edge.target) for edge in layout.edges) == sorted(wanted)
    for edge in layout.edges:
        assert len(edge.points) <= 6, "it changes lanes once to run beside the chain and once to return"
        source, target = layout.boxes[edge.source], layout.boxes[edge.target]
        assert edge.points[0] == pytest.approx((source.middle[0], source.top + source.height))
        from_above = (target.middle[0], target.top)
        from_the_right = (target.middle[0] + sizes[edge.target].shape_width / 2, target.middle[1])
        assert edge.points[-1] in (pytest.approx(from_above), pytest.approx(from_the_right))


def test_a_chain_stands_in_columns_and_a_residual_edge_is_a_skip() -> None:
    sizes = [BOX_SIZE] * 12
    chain = place_blocks([(), *((block,) for block in range(11))], sizes, max_height=400.0)
    assert len({box.left for box in chain.boxes}) == 3
    assert not any(edge.is_skip for edge in chain.edges)
    residual = place_blocks([(), (0,), (1,), (2, 0)], sizes[:4], max_height=400.0)
    assert [(edge.source, edge.target) for edge in residual.edges if edge.is_skip] == [(0, 3)]
    skip = next(edge for edge in residual.edges if edge.is_skip)
    assert max(x for x, _ in skip.points) > 100, "it runs beside the boxes"
    assert len({box.left for box in residual.boxes}) == 1


def test_a_column_is_not_broken_where_a_branch_runs_beside_it() -> None:
    inputs = [(), *((block,) for block in range(7)), (7, 0)]
    layout = place_blocks(inputs, [BOX_SIZE] * 9, max_height=200.0)
    assert len({box.left for box in layout.boxes}) == 1


@pytest.mark.parametrize("name", [*list_models(), "branches"])
def test_texts_fit_and_do_not_overlap(name: str) -> None:
    model = Branches() if name == "branches" else create_model(name)
    figure = draw_blocks(blocks_of(model), "A title", "and what it is about")
    canvas = figure.canvas
    assert isinstance(canvas, FigureCanvasAgg)
    boxes = [text.get_window_extent(canvas.get_renderer()) for text in figure.axes[0].texts if text.get_text()]
    assert len(boxes) > 20
    for box in boxes:
        assert 0 <= box.x0 < box.x1 <= figure.bbox.width
        assert 0 <= box.y0 < box.y1 <= figure.bbox.height
    for one, other in combinations(boxes, 2):
        width = min(one.x1, other.x1) - max(one.x0, other.x0)
        height = min(one.y1, other.y1) - max(one.y0, other.y0)
        assert width <= 0 or height <= 3, "only the space around letters may touch"


@pytest.mark.parametrize("format", FORMATS)
def test_equal_models_give_equal_bytes(format: str) -> None:  # noqa: A002  # the argument's name
    first = draw_graph(create_model("dilated", seed=1), SHAPE, format)
    with mpl.rc_context({"font.size": 30, "lines.linewidth": 9, "savefig.bbox": "tight", "svg.hashsalt": "other"}):
        assert draw_graph(create_model("dilated", seed=2), SHAPE, format) == first
    assert draw_graph(create_model("dilated-fixed"), SHAPE, format) != first


def test_svg_is_well_formed_and_can_be_searched() -> None:
    drawing = draw_graph(create_model("dilated"), SHAPE)
    assert isinstance(drawing, str)
    root = ElementTree.fromstring(drawing)
    texts = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    for expected in ("DilatedNet", "Conv 3×3, 32 → 64", "64×32×32 · 18,560 parameters", "skip connection"):
        assert expected in texts
    assert "198,660 parameters · 136.2 M multiply-accumulates · receptive field 44 pixels" in texts
    assert texts.count("+") == 2
    assert not re.search(r"20\d\d-\d\d-\d\d", drawing), "no date"
    assert "Verdana, sans-serif" in drawing


def test_png_is_a_picture_at_a_size_that_reads() -> None:
    drawing = draw_graph(create_model("dilated"), SHAPE, "png")
    assert isinstance(drawing, bytes)
    assert drawing.startswith(b"\x89PNG\r\n")
    width, height = (int.from_bytes(drawing[start : start + 4], "big") for start in (16, 20))
    assert 600 <= width <= 1400
    assert 600 <= height <= 1400


def test_dot_has_every_block_and_edge() -> None:
    drawing = draw_graph(create_model("dilated"), SHAPE, "dot")
    assert isinstance(drawing, str)
    assert drawing.startswith("digraph")
    assert drawing.count("{") == drawing.count("}") == 1
    assert re.findall(r"^  n(\d+) \[label=\"", drawing, re.M) == [str(block) for block in range(18)]
    edges = [(int(source), int(target)) for source, target in re.findall(r"n(\d+) -> n(\d+);", drawing)]
    assert len(edges) == 19
    assert {(1, 5), (6, 10)} <= set(edges)
    assert 'label="Conv 3×3, 3 → 32\\nReLU · BatchNorm · Dropout\\n32×32×32 · 928 parameters"' in drawing


def test_models_of_one_form_are_drawn_once() -> None:
    """As those of several seeds, and to the same bytes as a drawing that is shown."""
    models = [create_model("dilated", seed=seed) for seed in (1, 2)]
    first, second = (graph_svg(trace_model(model, SHAPE), type(model).__name__) for model in models)
    assert second is first
    assert first == draw_graph(models[0], SHAPE)


def test_what_cannot_be_drawn_is_refused() -> None:
    with pytest.raises(ConfigError, match="'bmp'") as caught:
        draw_graph(create_model("resnet8"), SHAPE, "bmp")
    assert "svg, png, dot" in caught.value.hint
    with pytest.raises(ModelError):
        draw_graph(create_model("dilated"), (3, 20, 20))
