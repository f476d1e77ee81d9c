"""What a training is computed with, as a value."""

from __future__ import annotations

import re
from dataclasses import dataclass

from thumbnet.specs.checks import require, require_choice

Device = str  # one of these, or a GPU by its number, as cuda:1
DEVICES = ("auto", "cpu", "cuda", "mps")
GPU = re.compile(r"cuda:(0|[1-9][0-9]?)")
PRECISIONS = ("auto", "float32", "bfloat16")
KERNELS = ("auto", "native", "pytorch")
MAX_THREADS = 1024


@dataclass(frozen=True, kw_only=True)
class Engine:
    """Device, number format, kernels, threads, and norms over several processes. In one process, none of these changes
    what is computed, except for rounding.

    Args:
        device: `auto` is the first of cuda, mps and cpu that is here; `cuda:1` is the second GPU. Of several processes,
            each takes the GPU of its number on its machine, with `auto` or `cuda`.
        precision: of convolutions and matrix products; `auto`: bfloat16 where the device, or our kernels, are faster
            with it.
        kernels: `native` (ours, for blocks and convolutions on a CPU; they need Linux, and a wheel that brings them or
            g++), `pytorch`, or `auto`: ours where they can be had. What PyTorch's trained is scored by these, else ours
            score where they are at hand, from 50 images on.
        compiled: train through `torch.compile`: for GPUs; on a CPU it needs a C++ compiler and a minute to warm up.
        threads: of a CPU that compute one training, 1 to 1024; None: as many as PyTorch takes. Sums over several may be
            rounded in another way, so the number belongs to what a training is repeated with.
        sync_norm: where several processes train, batch normalisation takes the statistics of the whole batch, as it
            does in one; else each process takes those of its own part, which is less exact and needs less talk.
    """

    device: str = "auto"
    precision: str = "float32"
    kernels: str = "auto"
    compiled: bool = False
    threads: int | None = None
    sync_norm: bool = True

    def __post_init__(self) -> None:
        check_device(self.device)
        require_choice("precision", self.precision, PRECISIONS)
        require_choice("kernels", self.kernels, KERNELS)
        is_right = self.threads is None or 1 <= self.threads <= MAX_THREADS
        require(is_right, "threads", self.threads, f"1 to {MAX_THREADS}")


def check_device(name: str) -> None:
    """ConfigError for the name of no device."""
    if GPU.fullmatch(name) is None:
        require_choice("device", name, (*DEVICES, "cuda:1"))
