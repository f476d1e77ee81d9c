"""What a block must have to run through our kernels."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from typing import Protocol, runtime_checkable

from torch import nn


@runtime_checkable
class TakesKernels(Protocol):
    """A block that can run through our kernels, in training and where nothing is differentiated: its own forward pass
    gives the same results, except for rounding."""

    kernels: ctypes.CDLL | None

    @property
    def supports_kernels(self) -> bool:
        """Whether they can run a part of it at least."""
        ...

    @property
    def runs_fully_fused(self) -> bool:
        """Whether they run its convolutions, too, and not only what follows."""
        ...

    def modules(self) -> Iterator[nn.Module]: ...
