"""Which blocks cost most in whole numbers. Without PyTorch."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, UInt8

from thumbnet.export.c.fixed_point import HIGH, LOW, SILU_BITS, FixedBlock, FixedProgram
from thumbnet.export.c.reference import run_block, run_stem
from thumbnet.models.program import Program
from thumbnet.models.program_numpy import run_program


@dataclass(frozen=True)
class BlockCost:
    """A block's error where it alone computes in whole numbers: root mean square, of that of its output."""

    name: str
    error: float

    def __str__(self) -> str:
        return f"{self.name} (error {self.error:.1%})"


def block_costs(program: Program, fixed: FixedProgram, images: UInt8[np.ndarray, "n c h w"]) -> list[BlockCost]:
    """All blocks, those with the largest errors first; the first block's error has the first convolution's in it."""
    costs: list[BlockCost] = []
    before: FixedBlock | None = None
    for index, block in enumerate(fixed.blocks):
        if before is None:
            maps = run_stem(fixed.stem, images)
        else:
            exact = _maps_after(program, index, images) / _steps(before)
            maps = np.clip(np.round(exact) + before.zero, LOW, HIGH).astype(np.int8)
        expected = _maps_after(program, index + 1, images)
        found = (run_block(block, maps, fixed.silu_table) - np.float64(block.zero)) * _steps(block)
        size = float(np.sqrt(np.mean(expected.astype(np.float64) ** 2)))
        error = float(np.sqrt(np.mean((found - expected) ** 2)))
        costs.append(BlockCost(block.name, error / size if size > 0 else 0.0))
        before = block
    return sorted(costs, key=lambda cost: -cost.error)


def _maps_after(
    program: Program, num_blocks: int, images: UInt8[np.ndarray, "n c h w"]
) -> Float[np.ndarray, "n h2 w2 k"]:
    """The original's maps after its leading blocks."""
    channels = program.blocks[num_blocks - 1].out_shape[0]
    leading = replace(program, blocks=program.blocks[:num_blocks], head=np.zeros((1, channels), np.float32))
    return run_program(leading, images).maps


def _steps(block: FixedBlock) -> Float[np.ndarray, " k"]:
    """What a step of a block's output is worth, by channel."""
    return 2.0 ** (block.after.shift - SILU_BITS) / block.after.multipliers
