"""How much memory data may take: half of what this machine, or its container, has."""

from __future__ import annotations

import os
from pathlib import Path

CONTAINER_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
CONTAINER_USAGES = (
    Path("/sys/fs/cgroup/memory.current"),
    Path("/sys/fs/cgroup/memory/memory.usage_in_bytes"),
)  # likewise
MEMORY_INFO = Path("/proc/meminfo")
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


def available_bytes() -> int:
    """What can be taken now without other programs losing any: what this machine, or its container, has free."""
    sizes = [_system_available_bytes()]
    for limit, usage in zip(CONTAINER_LIMITS, CONTAINER_USAGES, strict=True):
        try:
            sizes.append(max(0, int(limit.read_text()) - int(usage.read_text())))
        except (OSError, ValueError):
            continue
    return min(sizes)


def _system_available_bytes() -> int:
    try:
        lines = MEMORY_INFO.read_text().splitlines()
        (line,) = (line for line in lines if line.startswith("MemAvailable:"))
        return 1024 * int(line.split()[1])
    except (OSError, ValueError, IndexError):  # not Linux
        return _physical_bytes() // 2


def _physical_bytes() -> int:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return ASSUMED_BYTES
