"""A network in whole numbers: what the C source and the integer reference are both made of. Without PyTorch.

    x = 16 * pixel - mean16                            16ths of a grey level; then zeros are padded
    maps = scaled(stem . x, 0..255) - 128              int8; the clamp at 0 is the relu
    for each block:
        y = scaled(pointwise . maps + bias, -127..127) separable blocks only; int8, 0 stands for 0; else y = maps
        y = filters . y                                int32; what stands for 0 is padded
        y = max_pool(y)                                blocks that pool only
        v = scaled(y + bias, +-SILU_LIMIT)             in 4,096ths
        u = max(v, 0) - table[min(|v| >> 7, 255)]      silu, in 4,096ths
        maps = scaled(u) + zero                        int8; with a shortcut scaled(u, maps - zero_before) + zero
    sums = (sum over positions of maps - zero) + half >> sum_shift
    logits = scaled(head . sums)

and, for a model that may answer "unknown", in units of 1 / 2^bits of the features' deviations:

    z = clamped(scaled(sums) - centres, +-MOST_FAR)
    is unknown = for every class: sum over channels of (z - means)^2 > limit

`scaled(a, low..high)` is floor(a * multiplier / 2^shift + 1/2) in 64 bits, then clamped; each channel has a multiplier,
all have one shift. Of two values, the products by their multipliers are added first. Channels of a map have scales of
their own, which are in the multipliers and in the weights that read the map. A multiplier is negative where a block's
sign is: it follows the pool, as that does.

SiLU is max(v, 0) minus |v| / (1 + exp(|v|)), which a short table holds for all blocks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int8, Int16, Int32

from thumbnet.models.program import Shape

PIXEL_BITS = 4  # a pixel minus its mean is in 16ths of a grey level
SILU_BITS = 12  # what SiLU takes and gives is in 4,096ths
SILU_LIMIT = 1 << 26  # of what it takes, either way
SILU_STEP_BITS = 7  # the table's steps are 1/32
SILU_TABLE_SIZE = 256  # so it ends at 8, where SiLU is within 0.003 of max(v, 0)
LOW, HIGH = -128, 127  # of int8
LARGEST_STEP = HIGH - LOW
MOST_LOGIT_BITS = 16
MOST_FAR = 32767  # of a feature's difference from the middle of the classes' means: of int16
MOST_FEATURE = 1 << 30  # of a feature itself, in the same units


@dataclass(frozen=True)
class Scaling:
    """From an accumulator's units to those of the next values, by channel; one shift for all."""

    multipliers: Int32[np.ndarray, " k"]
    shift: int


@dataclass(frozen=True)
class FixedStem:
    """The first convolution; `mean16` is of grey levels, in 16ths. Its outputs are int8, and -128 stands for 0."""

    mean16: Int32[np.ndarray, " c"]
    filters: Int16[np.ndarray, "k c a b"]
    scaling: Scaling
    padding: int
    in_shape: Shape
    out_shape: Shape
    stride: int = 1


@dataclass(frozen=True)
class FixedPointwise:
    """The 1x1 convolution of a separable block."""

    weights: Int8[np.ndarray, "k c"]
    bias: Int32[np.ndarray, " k"]
    scaling: Scaling


@dataclass(frozen=True)
class FixedBlock:
    """A block. `zero` is the int8 that stands for 0 in its output, `zero_before` that in its input; `padding_value`
    pads what its filters see. `kept` are the multipliers of the input, with the shift of `after`; None if it has no
    shortcut."""

    name: str
    pointwise: FixedPointwise | None
    filters: Int8[np.ndarray, "k cg 3 3"]
    padding_value: int
    bias: Int32[np.ndarray, " k"]
    before: Scaling
    after: Scaling
    kept: Int32[np.ndarray, " k"] | None
    zero_before: int
    zero: int
    stride: int
    dilation: int
    pools: bool
    has_shortcut: bool
    in_shape: Shape
    conv_shape: Shape
    out_shape: Shape

    @property
    def ring_channels(self) -> int:
        """Of the maps that its filters see."""
        return self.in_shape[0] if self.pointwise is None else self.conv_shape[0]


@dataclass(frozen=True)
class FixedFar:
    """When the answer is "unknown"; all numbers are in units of 1 / 2^bits of a feature's deviation.

    `scaling` is from the sums that the head sees. `centres` are the middle of the classes' means, by channel, and
    `means` are relative to it. `limit` is a square: the largest one of a distance from the nearest mean that is not
    unknown.
    """

    scaling: Scaling
    centres: Int32[np.ndarray, " k"]
    means: Int16[np.ndarray, "n k"]
    bits: int
    limit: int

    @property
    def distance(self) -> float:
        """The limit in deviations."""
        return math.sqrt(self.limit) / 2.0**self.bits


@dataclass(frozen=True)
class FixedProgram:
    """A network. A logit is its int32 divided by 2^logit_bits; `far` is there where its answer may be "unknown"."""

    stem: FixedStem
    blocks: tuple[FixedBlock, ...]
    silu_table: Int16[np.ndarray, " t"]
    sum_shift: int
    head: Int8[np.ndarray, "n k"]
    head_scaling: Scaling
    logit_bits: int
    far: FixedFar | None = None

    @property
    def num_classes(self) -> int:
        return len(self.head)
