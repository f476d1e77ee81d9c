"""Where each map lies in the C program's memory, and how many of the leading blocks are streamed.

A block's filters see its input by way of a ring of rows: rows of its 1x1 outputs, or of its input. So it needs no more
than the ring of what it reads, and may write its output over the part of its input that is already in the ring.

- A streamed block gets its input position by position from the first convolution or from the block before, so that the
  map between them never exists. The leading blocks up to the first shortcut may be streamed.
- A block after these reads a whole map. Its output lies over it, as far before it as is needed so that no row is
  overwritten before it was read, and exactly on it where the block adds to its input.

The number of streamed blocks is the one that needs the least memory. The rings of streamed blocks share their memory
with the rings of later ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from thumbnet.export.c.fixed_point import FixedBlock


@dataclass(frozen=True)
class Place:
    """A block's places, in bytes from the start of the memory. `source` is None of a streamed block, `target` of one
    whose output goes to the next streamed block."""

    ring: int
    ring_rows: int
    source: int | None
    target: int | None


@dataclass(frozen=True)
class Plan:
    """All places, and the size of the memory in bytes."""

    num_streamed: int
    places: tuple[Place, ...]
    num_bytes: int


def last_row_seen(block: FixedBlock, row: int) -> int:
    """The last row of its input that a block's output row `row` depends on."""
    conv_row = 2 * row + 1 if block.pools else row
    return min(block.in_shape[1] - 1, conv_row * block.stride + block.dilation)


def best_plan(blocks: Sequence[FixedBlock]) -> Plan:
    """The plan that needs the least memory; of equal ones, the one that streams the fewest blocks."""
    shortcuts = [index for index, block in enumerate(blocks) if block.has_shortcut]
    most = shortcuts[0] if shortcuts else len(blocks)
    plans = [_plan(blocks, num_streamed) for num_streamed in range(1, most + 1)]
    return min(plans, key=lambda plan: plan.num_bytes)


def _plan(blocks: Sequence[FixedBlock], num_streamed: int) -> Plan:
    starts = [0]  # of the maps from the last streamed block's output on, relative to that one's
    for block in blocks[num_streamed:]:
        starts.append(starts[-1] - _room_needed(block))
    maps = list(zip(starts, [_num_bytes(block.out_shape) for block in blocks[num_streamed - 1 :]], strict=True))
    lowest = min(starts)
    maps_end = max(start + size for start, size in maps) - lowest
    places: list[Place] = []
    ring = most_end = maps_end
    for index, block in enumerate(blocks):
        is_streamed = index < num_streamed
        ring_start = ring if is_streamed else maps_end
        rows = _ring_rows(block)
        ring_end = ring_start + rows * block.in_shape[2] * block.ring_channels
        ring = ring_end if is_streamed else maps_end
        most_end = max(most_end, ring_end)
        position = index - num_streamed
        places.append(
            Place(
                ring_start,
                rows,
                None if is_streamed else starts[position] - lowest,
                starts[position + 1] - lowest if position + 1 >= 0 else None,
            )
        )
    return Plan(num_streamed, tuple(places), most_end)


def _ring_rows(block: FixedBlock) -> int:
    rows = 2 * block.dilation + 1 + (block.stride if block.pools else 0)
    return min(rows, block.in_shape[1])


def _room_needed(block: FixedBlock) -> int:
    """By how many bytes the output must begin before the input."""
    if block.has_shortcut:
        return 0
    read_row, written_row = (shape[0] * shape[2] for shape in (block.in_shape, block.out_shape))
    room = 0
    for row in range(block.out_shape[1]):
        num_read = last_row_seen(block, row) + 1
        if num_read < block.in_shape[1]:
            room = max(room, (row + 1) * written_row - num_read * read_row)
    return room


def _num_bytes(shape: tuple[int, int, int]) -> int:
    return shape[0] * shape[1] * shape[2]
