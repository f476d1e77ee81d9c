"""The boxes of a network graph: their texts and their inputs. No drawing here.

What follows a layer alone and keeps its values' number and reach (activation, normalisation, dropout, flatten) is
written in the layer's box, so that a block of the network is a box of the picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Literal, TypeAlias

from thumbnet.models.trace import Node

TIMES = "×"  # noqa: RUF001  # the sign of multiplication, not a letter
SIGNS = {"add": "+", "mul": TIMES, "sub": "−"}  # noqa: RUF001  # the sign of subtraction, not a hyphen
SHORT_NAMES = {"relu": "ReLU", "silu": "SiLU", "gelu": "GELU", "cat": "Concatenate"}

BlockKind: TypeAlias = Literal[
    "image", "convolution", "dilated convolution", "depthwise convolution", "pointwise or linear", "pooling", "merge",
    "other",
]  # fmt: skip


@dataclass(frozen=True)
class Block:
    """A box of the picture: its title, the lines under it, its kind, the blocks that it takes."""

    title: str
    details: tuple[str, ...]
    kind: BlockKind
    inputs: tuple[int, ...]

    @property
    def is_sign(self) -> bool:
        """Whether it is drawn as a small circle with its details beside it."""
        return self.title in SIGNS.values()


def fold_blocks(nodes: Sequence[Node]) -> tuple[Block, ...]:
    """The blocks of a trace in order: each a layer with what follows it alone, value by value."""
    num_readers = [0] * len(nodes)
    for source in (source for node in nodes for source in node.inputs):
        num_readers[source] += 1
    block_of: list[int] = []
    members: list[list[Node]] = []
    for node in nodes:
        if len(node.inputs) == 1 and _follows(node, nodes[node.inputs[0]]) and num_readers[node.inputs[0]] == 1:
            block_of.append(block_of[node.inputs[0]])
            members[block_of[-1]].append(node)
        else:
            block_of.append(len(members))
            members.append([node])
    return tuple(
        _block(nodes, folded, tuple(dict.fromkeys(block_of[source] for source in folded[0].inputs)))
        for folded in members
    )


def _follows(node: Node, before: Node) -> bool:
    """Whether a call changes neither the number of values nor what they see, and so belongs to the layer before it."""
    keeps_values = prod(node.output_shape) == prod(before.output_shape) and node.macs == 0
    return keeps_values and node.receptive_field == before.receptive_field and before.role != "image"


def _block(nodes: Sequence[Node], folded: Sequence[Node], inputs: tuple[int, ...]) -> Block:
    first, last = folded[0], folded[-1]
    title, kind = _title(first, nodes)
    followers = " · ".join(_name(node.kind) for node in folded[1:] if node.role != "group")
    if title in SIGNS.values():
        return Block(title, (followers,) if followers else (), kind, inputs)
    shape = TIMES.join(str(side) for side in last.output_shape)
    num_params = sum(node.num_params for node in folded)
    costs = f"{shape} · {num_params:,} parameters" if num_params else shape
    return Block(title, (followers, costs) if followers else (costs,), kind, inputs)


def _title(node: Node, nodes: Sequence[Node]) -> tuple[str, BlockKind]:
    """What a box is called, and its kind."""
    if node.role == "image":
        return "Image", "image"
    if len(node.inputs) > 1:
        return SIGNS.get(node.kind, _name(node.kind)), "merge"
    window, in_shape = node.window, nodes[node.inputs[0]].output_shape
    if node.kind.lower() == "linear":
        return f"Linear, {in_shape[-1]} → {node.output_shape[-1]}", "pointwise or linear"
    if window is None or node.macs == 0:
        is_pool = "pool" in node.kind.lower() or node.kind == "mean"
        if is_pool and window is None and prod(node.output_shape[1:]) == 1:
            return "Global average pool" if "max" not in node.kind.lower() else "Global max pool", "pooling"
        return _name(node.kind) + (f" {_by(window.kernel)}" if window else ""), "pooling" if is_pool else "other"
    is_depthwise = 1 < window.groups == in_shape[0]
    words = [f"{'Depthwise' if is_depthwise else 'Conv'} {_by(window.kernel)}"]
    words.append(f"{in_shape[0]} → {node.output_shape[0]}")
    words += [f"{window.groups} groups"] if 1 < window.groups < in_shape[0] else []
    words += [f"stride {window.stride[0]}"] if window.stride != (1, 1) else []
    words += [f"dilation {window.dilation[0]}"] if window.dilation != (1, 1) else []
    if is_depthwise:
        return ", ".join(words), "depthwise convolution"
    if window.kernel == (1, 1):
        return ", ".join(words), "pointwise or linear"
    return ", ".join(words), "convolution" if window.dilation == (1, 1) else "dilated convolution"


def _name(kind: str) -> str:
    return SHORT_NAMES.get(kind, kind.removesuffix("2d"))


def _by(sides: tuple[int, int]) -> str:
    return f"{sides[0]}{TIMES}{sides[1]}"
