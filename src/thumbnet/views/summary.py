"""The layer table of a model: shapes, parameters, multiply-accumulates (MACs), receptive fields and sizes in memory.

The left 64 columns are laid out as torchsummary 1.5 does (github.com/sksq96/pytorch-summary), so that they compare with
published tables; MACs and receptive field stand to their right. -1 stands for the batch size.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from torch import nn

from thumbnet.models.trace import Trace, trace_model

NAME_WIDTH, SHAPE_WIDTH, PARAMS_WIDTH = 20, 25, 15  # torchsummary's; the first two grow with what they must hold
LEFT_WIDTH, MACS_WIDTH, FIELD_WIDTH = 64, 16, 18
BYTES_PER_VALUE = 4  # float32
BYTES_PER_MB = 1024**2


@dataclass(frozen=True)
class Row:
    """One layer. `name` is its kind and its number in the table; `output_shape` has no batch axis."""

    name: str
    kind: str
    output_shape: tuple[int, ...]
    num_params: int
    macs: int
    receptive_field: int


@dataclass(frozen=True)
class Summary:
    """A model's layers and totals; `str(summary)` is the table. Receptive fields are sides in pixels."""

    rows: tuple[Row, ...]
    image_shape: tuple[int, ...]
    num_params: int
    num_trainable: int
    macs: int
    receptive_field: int

    @property
    def input_bytes(self) -> int:
        return BYTES_PER_VALUE * math.prod(self.image_shape)

    @property
    def pass_bytes(self) -> int:
        """What training keeps for one image: the output of every layer and its gradient."""
        return 2 * BYTES_PER_VALUE * sum(math.prod(row.output_shape) for row in self.rows)

    @property
    def params_bytes(self) -> int:
        return BYTES_PER_VALUE * self.num_params

    def to_dict(self) -> dict[str, Any]:
        """The totals and the layers as plain values for JSON: num_params, macs, receptive_field, layers."""
        return {
            "num_params": self.num_params,
            "macs": self.macs,
            "receptive_field": self.receptive_field,
            "layers": [{**asdict(row), "output_shape": list(row.output_shape)} for row in self.rows],
        }

    def __str__(self) -> str:
        shapes = [str([-1, *row.output_shape]) for row in self.rows]
        name_width = max([NAME_WIDTH, *(len(row.name) for row in self.rows)])
        shape_width = max([SHAPE_WIDTH, *(len(shape) for shape in shapes)])
        left_width = LEFT_WIDTH + name_width - NAME_WIDTH + shape_width - SHAPE_WIDTH
        width = left_width + MACS_WIDTH + FIELD_WIDTH

        def line(name: str, shape: str, num_params: str, macs: str, field: str) -> str:
            left = f"{name:>{name_width}}  {shape:>{shape_width}} {num_params:>{PARAMS_WIDTH}}"
            return f"{left:<{left_width}}{macs:>{MACS_WIDTH}}{field:>{FIELD_WIDTH}}"

        def total(left: str, right: str) -> str:
            return f"{left:<{left_width}}{right:>{MACS_WIDTH + FIELD_WIDTH}}"

        total_bytes = self.input_bytes + self.pass_bytes + self.params_bytes
        return "\n".join(
            [
                "-" * width,
                line("Layer (type)", "Output Shape", "Param #", "MACs", "Receptive field"),
                "=" * width,
                *(
                    line(row.name, shape, f"{row.num_params:,}", f"{row.macs:,}", f"{row.receptive_field:,}")
                    for row, shape in zip(self.rows, shapes, strict=True)
                ),
                "=" * width,
                total(f"Total params: {self.num_params:,}", f"Total MACs: {self.macs:,}"),
                total(f"Trainable params: {self.num_trainable:,}", f"Receptive field: {self.receptive_field:,} pixels"),
                f"Non-trainable params: {self.num_params - self.num_trainable:,}",
                "-" * width,
                f"Input size (MB): {self.input_bytes / BYTES_PER_MB:.2f}",
                f"Forward/backward pass size (MB): {self.pass_bytes / BYTES_PER_MB:.2f}",
                f"Params size (MB): {self.params_bytes / BYTES_PER_MB:.2f}",
                f"Estimated Total Size (MB): {total_bytes / BYTES_PER_MB:.2f}",
                "-" * width,
                "",  # the published table ends in an empty line, which print() completes
            ]
        )


def summarize(model: nn.Module, image_shape: tuple[int, int, int]) -> Summary:
    """The layers of a model and their costs, for images of this shape (channels, height, width).

    Raises:
        ModelError: the model cannot take such images.
    """
    return summarize_trace(trace_model(model, image_shape), image_shape)


def summarize_trace(trace: Trace, image_shape: tuple[int, int, int]) -> Summary:
    """As `summarize`, of a model that was traced before, with an image of this shape."""
    rows = tuple(
        Row(
            f"{node.kind}-{number}",
            node.kind,
            node.output_shape,
            node.num_params,
            node.macs,
            node.receptive_field,
        )
        for number, node in enumerate(trace.layers, start=1)
    )
    return Summary(rows, image_shape, trace.num_params, trace.num_trainable, trace.macs, trace.receptive_field)
