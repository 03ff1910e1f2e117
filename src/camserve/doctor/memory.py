"""Memory of this host, of its container, and of `/dev/shm`."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from camserve.serving.server.host_memory import SHARED_MEMORY, cgroup_limit

__all__ = ["Memory", "read_memory"]

_KILOBYTE = 1024


@dataclass(frozen=True)
class Memory:
    """Memory in bytes; None for what is unknown, or not limited.

    Attributes:
        total: Of the host.
        available: Of the host, for new programs.
        limit: Of the control group of this process.
        shared: Size of `/dev/shm`.
        shared_free: Free space of `/dev/shm`.
    """

    total: int | None
    available: int | None
    limit: int | None
    shared: int | None
    shared_free: int | None


def read_memory(file: Path = Path("/proc/meminfo"), shared_memory: Path = SHARED_MEMORY) -> Memory:
    """Read the facts about memory.

    Args:
        file: A file in the format of `/proc/meminfo`.
        shared_memory: Where shared memory is mounted.
    """
    limit = cgroup_limit("memory", "memory.max", "memory.limit_in_bytes")
    total = _entry(file, "MemTotal")
    shared, free = _space(shared_memory)
    limited = limit >= 0 and (total is None or limit < total)
    return Memory(total, _entry(file, "MemAvailable"), limit if limited else None, shared, free)


def _entry(file: Path, name: str) -> int | None:
    try:
        lines = file.read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    values = [line.split()[1] for line in lines if line.startswith(f"{name}:")]
    return int(values[0]) * _KILOBYTE if values else None


def _space(folder: Path) -> tuple[int, int] | tuple[None, None]:
    try:
        status = os.statvfs(folder)
    except OSError:
        return None, None
    return status.f_blocks * status.f_frsize, status.f_bavail * status.f_frsize
