"""A folded program as bytes for a page's engine: its weights in half precision. Without PyTorch.

The bytes are: the length of a JSON text (uint32), the JSON text (padded with spaces to a multiple of 4), then numbers,
all little-endian, first all float32, then all float16, both in the order in which network.js reads them:

    float32: the mean; the stem's filters; each block's scales and bias; the head's scales
    float16: each block's pointwise matrix (if it is separable) and filters; the head

A block's filters are to be multiplied by its scales, one for each output channel, and so is the head. A separable
block's scales are those of both its parts, since nothing stands between them.
"""

from __future__ import annotations

import json
import struct

import numpy as np
from jaxtyping import Float16, Float32

from thumbnet.export.html.halves import to_halves
from thumbnet.models.program import Block, Program

WEIGHTS_FORMAT = 1


def program_to_bytes(program: Program) -> bytes:
    """What network.js reads: about two bytes a weight."""
    singles: list[Float32[np.ndarray, "..."]] = [program.mean, program.stem.filters]
    halves: list[Float16[np.ndarray, "..."]] = []
    for block in program.blocks:
        filters, scales = to_halves(block.filters.reshape(len(block.filters), -1))
        if block.pointwise is not None:
            pointwise, more_scales = to_halves(block.pointwise)
            scales = (scales.astype(np.float64) * more_scales).astype(np.float32)
            halves.append(pointwise)
        halves.append(filters)
        singles += [scales, block.bias]
    head, scales = to_halves(program.head)
    text = json.dumps(_description(program), separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    numbers = (*(each.astype("<f4") for each in (*singles, scales)), *(each.astype("<f2") for each in (*halves, head)))
    return struct.pack("<I", len(text)) + text + b"".join(array.tobytes() for array in numbers)


def _description(program: Program) -> dict[str, object]:
    stem = program.stem
    return {
        "format": WEIGHTS_FORMAT,
        "shape": list(program.image_shape),
        "classes": program.num_classes,
        "stem": {
            "channels": len(stem.filters),
            "side": stem.filters.shape[2],
            "padding": stem.padding,
            **({} if stem.stride == 1 else {"stride": stem.stride}),
        },
        "blocks": [_describe_block(block) for block in program.blocks],
    }


def _describe_block(block: Block) -> dict[str, object]:
    return {
        "channels": len(block.filters),
        "separable": block.is_separable,
        "stride": block.stride,
        "dilation": block.dilation,
        "pools": block.pools,
        "shortcut": block.has_shortcut,
        "negative": [] if block.sign is None else np.flatnonzero(block.sign < 0).tolist(),
    }
