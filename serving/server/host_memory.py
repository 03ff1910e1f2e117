"""Memory of this host: shared memory, and limits of control groups. Can be imported on any operating system."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["ENLARGE_SHARED_MEMORY", "MEGABYTE", "SHARED_MEMORY", "cgroup_limit", "free_shared_memory", "size_text"]

MEGABYTE = 2**20
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - where shm_open looks, as in guard.py, which cannot import this
ENLARGE_SHARED_MEMORY = (
    f"Enlarge {SHARED_MEMORY}: mount -o remount,size=1g {SHARED_MEMORY}, or in Docker: --shm-size=1g"
)
_CGROUPS = Path("/sys/fs/cgroup")


def free_shared_memory() -> int:
    """Return the free space of `/dev/shm` in bytes."""
    status = os.statvfs(SHARED_MEMORY)
    return status.f_bavail * status.f_frsize


def size_text(size: float) -> str:
    """Return a size such as `64 kB` or `1.5 GB`."""
    for unit, factor in (("GB", 2**30), ("MB", MEGABYTE)):
        if size >= factor:
            return f"{size / factor:.3g} {unit}"
    return f"{size / 1024:.0f} kB"


def cgroup_limit(controller: str, unified: str, separate: str) -> int:
    """Return a limit of this process's control group of version 2 or 1; -1 if there is none."""
    try:
        lines = Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines()
        groups = [(names.split(","), group.lstrip("/")) for _, names, group in (line.split(":", 2) for line in lines)]
    except (OSError, ValueError):
        return -1
    files = [_CGROUPS / group / unified for names, group in groups if names == [""]]
    files += [_CGROUPS / controller / group / separate for names, group in groups if controller in names]
    # In a container, the group of the container can be mounted at the top.
    for file in (*files, _CGROUPS / unified, _CGROUPS / controller / separate):
        try:
            text = file.read_text(encoding="ascii").strip()
        except OSError:
            continue
        return int(text) if text.isdecimal() else -1
    return -1
