"""The weights of a page read back as a program, so that exactly these can be checked. Without PyTorch."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Float

from thumbnet.errors import ExportError
from thumbnet.export.html.weights import WEIGHTS_FORMAT
from thumbnet.models.program import Block, Program, Shape, Stem

Json: TypeAlias = Mapping[str, Any]


@dataclass
class _Numbers:
    """Numbers taken one array after the other."""

    rest: Float[np.ndarray, " n"]

    def take(self, *shape: int) -> Float[np.ndarray, "..."]:
        size = int(np.prod(shape))
        taken, self.rest = self.rest[:size], self.rest[size:]
        return taken.astype(np.float32).reshape(shape)


def program_from_bytes(content: bytes) -> Program:
    """What `program_to_bytes` wrote, as the page's engine computes it; ExportError where it is of another format."""
    size = int.from_bytes(content[:4], "little")
    description: Json = json.loads(content[4 : 4 + size])
    if description["format"] != WEIGHTS_FORMAT:
        raise ExportError(f"the page's weights have format {description['format']}", hint="export it again")
    shapes = list(_block_shapes(description))
    channels, height, width = description["shape"]
    stem = description["stem"]
    stem_shape: Shape = (stem["channels"], *_stem_sides(description))
    num_singles = channels + stem["channels"] * channels * stem["side"] ** 2 + description["classes"]
    num_singles += 2 * sum(block["channels"] for block in description["blocks"])
    numbers = content[4 + size :]
    singles = _Numbers(np.frombuffer(numbers, "<f4", num_singles))
    halves = _Numbers(np.frombuffer(numbers, "<f2", offset=4 * num_singles))
    mean = singles.take(channels)
    filters = singles.take(stem["channels"], channels, stem["side"], stem["side"])
    blocks = [
        _read_block(f"blocks.{index}", block, block_shapes, singles, halves)
        for index, (block, block_shapes) in enumerate(zip(description["blocks"], shapes, strict=True))
    ]
    scales = singles.take(description["classes"], 1)
    head = halves.take(description["classes"], blocks[-1].out_shape[0]) * scales
    assert len(singles.rest) == len(halves.rest) == 0
    first = Stem(filters, stem["padding"], (channels, height, width), stem_shape, stem.get("stride", 1))
    return Program(mean, first, tuple(blocks), head)


def _stem_sides(description: Json) -> tuple[int, int]:
    stem = description["stem"]
    stride = stem.get("stride", 1)
    height, width = ((side + 2 * stem["padding"] - stem["side"]) // stride + 1 for side in description["shape"][1:])
    return height, width


def _block_shapes(description: Json) -> Iterator[tuple[Shape, Shape, Shape]]:
    """Of each block: those of its input, of its convolution and of its output."""
    shape: Shape = (description["stem"]["channels"], *_stem_sides(description))
    for block in description["blocks"]:
        height, width = ((side - 1) // block["stride"] + 1 for side in shape[1:])
        conv_shape: Shape = (block["channels"], height, width)
        out_shape: Shape = (block["channels"], height // 2, width // 2) if block["pools"] else conv_shape
        yield shape, conv_shape, out_shape
        shape = out_shape


def _read_block(
    name: str, block: Json, shapes: tuple[Shape, Shape, Shape], singles: _Numbers, halves: _Numbers
) -> Block:
    in_shape, conv_shape, out_shape = shapes
    channels = block["channels"]
    scales = singles.take(channels, 1, 1, 1)
    pointwise = halves.take(channels, in_shape[0]) if block["separable"] else None
    filters = halves.take(channels, 1 if block["separable"] else in_shape[0], 3, 3) * scales
    sign = np.ones(channels, np.float32)
    sign[block["negative"]] = -1
    return Block(
        name=name,
        pointwise=pointwise,
        filters=filters,
        bias=singles.take(channels),
        sign=sign if block["negative"] else None,
        stride=block["stride"],
        dilation=block["dilation"],
        pools=block["pools"],
        has_shortcut=block["shortcut"],
        in_shape=in_shape,
        conv_shape=conv_shape,
        out_shape=out_shape,
    )
