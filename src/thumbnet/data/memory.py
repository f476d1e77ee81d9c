"""How much memory data may take: half of what this machine, or its container, has.

A container, or any other control group that this process is in, may have less than the machine.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

CONTROL_GROUPS = Path("/sys/fs/cgroup")
OWN_GROUPS = Path("/proc/self/cgroup")
MEMORY_INFO = Path("/proc/meminfo")
DATA_SHARE = 0.5  # the other half is for the model, its maps and the system
IN_MEMORY_SHARE = 0.25  # of what is free: data that takes more stays on the disk
ASSUMED_BYTES = 8 * 2**30  # where the system does not say


class _Group(NamedTuple):
    """The files of a control group that has a limit."""

    limit: Path
    usage: Path
    statistics: Path


def memory_limit_bytes() -> int:
    """The most that a data set may take in memory."""
    return int(DATA_SHARE * min([_physical_bytes(), *(limit for limit, _ in _limits())]))


def available_bytes() -> int:
    """What can be taken now without other programs losing any: what this machine, or its container, has free."""
    return min([_system_available_bytes(), *(max(0, limit - used) for limit, used in _limits())])


def _limits() -> Iterator[tuple[int, int]]:
    """The limit in bytes of each control group that has one, and what is used of it; files that the system keeps in
    memory, and can let go, are not counted."""
    for group in _groups():
        try:
            limit, used = int(group.limit.read_text()), int(group.usage.read_text())
        except (OSError, ValueError):  # there is none, or one without a limit ("max")
            continue
        yield limit, max(0, used - _inactive_file_bytes(group.statistics))


def _groups() -> Iterator[_Group]:
    """The control groups that this process is in, of both versions, each with those around it."""
    try:
        lines = OWN_GROUPS.read_text().splitlines()
    except OSError:  # not Linux
        lines = []
    own = {"": PurePosixPath("/"), "memory": PurePosixPath("/")}
    for line in lines:
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        for name in controllers.split(","):
            if name in own and path.startswith("/"):
                own[name] = PurePosixPath(path)
    for own_path in (own[""], *own[""].parents):
        folder = CONTROL_GROUPS / str(own_path).lstrip("/")
        yield _Group(folder / "memory.max", folder / "memory.current", folder / "memory.stat")
    for own_path in (own["memory"], *own["memory"].parents):
        folder = CONTROL_GROUPS / "memory" / str(own_path).lstrip("/")
        yield _Group(folder / "memory.limit_in_bytes", folder / "memory.usage_in_bytes", folder / "memory.stat")


def _inactive_file_bytes(statistics: Path) -> int:
    try:
        pairs = [line.split() for line in statistics.read_text().splitlines()]
        found = {name: int(value) for name, value in pairs}
    except (OSError, ValueError):
        return 0
    return found.get("total_inactive_file", found.get("inactive_file", 0))


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
