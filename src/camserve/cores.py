"""The cores that this process may use."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["host_cores"]


def host_cores(limits: Path = Path("/sys/fs/cgroup/cpu.max")) -> int:
    """Return the number of cores that this process may use, within the CPU limit of its container.

    Args:
        limits: The control group's file with microseconds of CPU time per period, and the period.
    """
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = limits.read_text(encoding="ascii").split()
        return max(1, min(allowed, int(quota) // int(period)))
    except (OSError, ValueError):  # no limit, or no control groups of version 2
        return allowed
