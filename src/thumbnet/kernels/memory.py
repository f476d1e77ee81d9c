"""Memory that a step frees, kept for the next one: faulting it in again can take longer than the step's arithmetic."""

from __future__ import annotations

import ctypes
import platform

M_TRIM_THRESHOLD = -1  # parameters of glibc's mallopt, from its malloc.h
M_MMAP_THRESHOLD = -3
KEPT_BYTES = 1 << 30  # buffers up to this size stay with the process from step to step
OLD_KEPT_BYTES = 1 << 25  # the most that an older glibc takes


def keep_freed_memory() -> bool:
    """Let glibc keep freed buffers for the next step, instead of returning them and faulting them in again.

    True where it was done: on Linux with glibc. It holds for the whole process and changes no result.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    libc = ctypes.CDLL(None)
    keeps = libc.mallopt(M_MMAP_THRESHOLD, KEPT_BYTES) or libc.mallopt(M_MMAP_THRESHOLD, OLD_KEPT_BYTES)
    return bool(libc.mallopt(M_TRIM_THRESHOLD, KEPT_BYTES) and keeps)
