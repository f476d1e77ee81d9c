"""How much memory data may take: half of what this machine, or its container, has."""

from __future__ import annotations

import os
from pathlib import Path

CONTAINER_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
DATA_SHARE = 0.5  # the other half is for the model, its maps and the system
ASSUMED_BYTES = 8 * 2**30  # where the system does not say


def memory_limit_bytes() -> int:
    """The most that a data set may take in memory."""
    sizes = [_physical_bytes()]
    for path in CONTAINER_LIMITS:
        try:
            sizes.append(int(path.read_text()))
        except (OSError, ValueError):  # not in a container, or one without a limit ("max")
            continue
    return int(DATA_SHARE * min(sizes))


def _physical_bytes() -> int:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return ASSUMED_BYTES
