"""What a process uses, as the kernel reports it: memory, descriptors, threads."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

__all__ = [
    "Usage",
    "children",
    "command",
    "descendants",
    "descriptors",
    "is_running",
    "processor_seconds",
    "resident",
    "usage",
]


@dataclass(frozen=True)
class Usage:
    """What a process, or several together, use.

    Attributes:
        processes: Number of processes.
        resident: Resident memory in bytes, shared memory included in each.
        proportional: Proportional set size in bytes: memory that processes share is divided among them.
        descriptors: Number of open descriptors.
        threads: Number of threads.
    """

    processes: int = 0
    resident: int = 0
    proportional: int = 0
    descriptors: int = 0
    threads: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.processes + other.processes,
            self.resident + other.resident,
            self.proportional + other.proportional,
            self.descriptors + other.descriptors,
            self.threads + other.threads,
        )


def usage(pid: int) -> Usage:
    """Return what a process uses.

    Raises:
        OSError: If it has ended.
    """
    rollup = (_folder(pid) / "smaps_rollup").read_text().splitlines()
    (proportional,) = (int(line.split()[1]) * 1024 for line in rollup if line.startswith("Pss:"))
    threads = len(list((_folder(pid) / "task").iterdir()))
    return Usage(1, resident(pid), proportional, descriptors(pid), threads)


def resident(pid: int) -> int:
    """Return the resident memory of a process in bytes."""
    return int((_folder(pid) / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def processor_seconds(pid: int) -> float:
    """Return the processor time that a process has used, in seconds."""
    fields = (_folder(pid) / "stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def descriptors(pid: int) -> int:
    """Return the number of open descriptors of a process."""
    return len(list((_folder(pid) / "fd").iterdir()))


def children(pid: int) -> list[int]:
    """Return the process IDs of the child processes of a process, ended ones that it has not reaped included."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it may have ended
            if int((process / "stat").read_text().rpartition(")")[2].split()[1]) == pid:
                found.append(int(process.name))
    return found


def descendants(pid: int) -> list[int]:
    """Return the process IDs of the child processes, of their child processes and so on."""
    return [each for child in children(pid) for each in (child, *descendants(child))]


def is_running(pid: int) -> bool:
    """Return whether a process has not ended; an ended one that was not reaped does not run."""
    try:
        return (_folder(pid) / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def command(pid: int) -> list[str]:
    """Return the command line of a process."""
    return (_folder(pid) / "cmdline").read_text().rstrip("\0").split("\0")


def _folder(pid: int) -> Path:
    return Path(f"/proc/{pid}")
