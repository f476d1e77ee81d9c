"""PyTorch's OpenMP, whose threads our kernels share: those of another library would compete with them."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

import torch  # first, so that its OpenMP is loaded before it is looked for


def openmp_of_pytorch() -> str | None:
    """Path of PyTorch's bundled libgomp, loaded by this process; None if PyTorch uses the system's."""
    package = Path(torch.__file__).parent
    homes = package, package.with_name("torch.libs")
    with Path("/proc/self/maps").open() as maps:
        files = {Path(line.split(maxsplit=5)[5].strip()) for line in maps if "/libgomp" in line}
    own = sorted(str(file) for file in files if any(home in file.parents for home in homes))
    return own[0] if own else None


def share_openmp() -> None:
    """Let libraries that are loaded from now on, and name no OpenMP, find PyTorch's functions. OSError if it fails."""
    path = openmp_of_pytorch()
    if path is not None:
        ctypes.CDLL(path, mode=os.RTLD_GLOBAL | os.RTLD_NOLOAD)
