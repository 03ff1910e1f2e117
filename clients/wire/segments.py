"""Segments of POSIX shared memory, whose names identify the process that owns them."""

from __future__ import annotations

import mmap
import os
import re
import secrets
from contextlib import suppress
from pathlib import Path

__all__ = ["FOLDER", "create", "is_abandoned", "remove", "remove_leftovers"]

FOLDER = Path("/dev/shm")  # noqa: S108 - where shm_open looks
"""Directory of the names of segments."""

_NAME = re.compile(r"camserve-client-(?P<host>[0-9a-f]+-[0-9]+)-(?P<pid>[0-9]+)-(?P<start>[0-9]+)-[0-9a-f]{16}")


def create(size: int) -> tuple[str, mmap.mmap]:
    """Create a segment of this process, readable by its user only, and return its name and its memory.

    Raises:
        OSError: If there is not enough memory.
    """
    pid = os.getpid()
    name = f"camserve-client-{_host()}-{pid}-{_start(pid)}-{secrets.token_hex(8)}"
    descriptor = os.open(FOLDER / name, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        # ftruncate allocates no memory: writing later, when there is none left, would end the process (SIGBUS).
        os.posix_fallocate(descriptor, 0, size)
        return name, mmap.mmap(descriptor, size)
    except BaseException:
        remove(name)
        raise
    finally:
        os.close(descriptor)


def remove(name: str) -> None:
    """Remove the name, if it exists; the memory remains until nobody maps it."""
    with suppress(FileNotFoundError):
        (FOLDER / name).unlink()


def remove_leftovers() -> None:
    """Remove the names of clients that were killed between creating and registering a segment."""
    with suppress(OSError):
        for path in FOLDER.glob("camserve-client-*"):
            if is_abandoned(path.name):
                with suppress(OSError):  # owned by another user, or removed meanwhile
                    path.unlink()


def is_abandoned(name: str) -> bool:
    """Return whether the process of a segment has ended; False if that cannot be determined here."""
    match = _NAME.fullmatch(name)
    if match is None or match["host"] != _host():
        return False
    pid, started = int(match["pid"]), int(match["start"])
    start = _start(pid)
    return not _is_running(pid) or (start != started and 0 not in (start, started))


def _host() -> str:
    """Return the boot and the namespace to which process numbers refer."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip().replace("-", "")
        return f"{boot}-{Path('/proc/self/ns/pid').stat().st_ino}"
    except OSError:
        return f"0-{os.getpid()}"


def _start(pid: int) -> int:
    """Return the start of a process in clock ticks after boot, which distinguishes reused process numbers; or 0."""
    try:
        # The second field is the program's name in brackets, which may contain brackets and spaces.
        return int(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[19])
    except (OSError, IndexError, ValueError):
        return 0


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True
