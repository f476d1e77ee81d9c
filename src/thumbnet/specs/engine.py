"""What a training is computed with, as a value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from thumbnet.specs.checks import require_choice

Device = Literal["auto", "cpu", "cuda", "mps"]

DEVICES = ("auto", "cpu", "cuda", "mps")
PRECISIONS = ("auto", "float32", "bfloat16")
KERNELS = ("auto", "native", "pytorch")


@dataclass(frozen=True, kw_only=True)
class Engine:
    """Device, number format and kernels. None of these changes what is computed, except for rounding.

    Args:
        device: `auto` is the first of cuda, mps and cpu that is here.
        precision: of convolutions and matrix products; `auto`: bfloat16 where the device, or our kernels, are faster
            with it.
        kernels: `native` (ours, for blocks and convolutions on a CPU; they need Linux, and a wheel that brings them or
            g++), `pytorch`, or `auto`: ours where they can be had.
        compiled: train through `torch.compile`: for GPUs; on a CPU it needs a C++ compiler and a minute to warm up.
    """

    device: str = "auto"
    precision: str = "float32"
    kernels: str = "auto"
    compiled: bool = False

    def __post_init__(self) -> None:
        require_choice("device", self.device, DEVICES)
        require_choice("precision", self.precision, PRECISIONS)
        require_choice("kernels", self.kernels, KERNELS)
