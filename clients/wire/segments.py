"""Segments of POSIX shared memory, under names that say whose they are."""

from __future__ import annotations

import mmap
import os
import re
import secrets
from contextlib import suppress
from pathlib import Path

__all__ = ["FOLDER", "create", "has_lost_its_owner", "remove", "remove_leftovers"]

FOLDER = Path("/dev/shm")  # noqa: S108 - where shm_open looks
"""Where the names of segments stand while they have one."""

_NAME = re.compile(r"camserve-client-(?P<place>[0-9a-f]+-[0-9]+)-(?P<pid>[0-9]+)-(?P<born>[0-9]+)-[0-9a-f]{16}")


def create(size: int) -> tuple[str, mmap.mmap]:
    """A new segment of this process, readable by its user alone: its name and its memory.

    Raises:
        OSError: If there is no room for it.
    """
    pid = os.getpid()
    name = f"camserve-client-{_place()}-{pid}-{_born(pid)}-{secrets.token_hex(8)}"
    descriptor = os.open(FOLDER / name, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        # A size alone takes no memory: writing to it where there is none left would end the process (SIGBUS).
        os.posix_fallocate(descriptor, 0, size)
        return name, mmap.mmap(descriptor, size)
    except BaseException:
        remove(name)
        raise
    finally:
        os.close(descriptor)


def remove(name: str) -> None:
    """Takes the name away, if it still stands; the memory stays with those who hold it."""
    with suppress(FileNotFoundError):
        (FOLDER / name).unlink()


def remove_leftovers() -> None:
    """Takes away the names of clients that were killed in the moment between making a segment and telling of it."""
    with suppress(OSError):
        for path in FOLDER.glob("camserve-client-*"):
            if has_lost_its_owner(path.name):
                with suppress(OSError):  # another user's, or somebody else took it away
                    path.unlink()


def has_lost_its_owner(name: str) -> bool:
    """Whether a name is that of a segment whose process has ended; False wherever that cannot be told from here."""
    match = _NAME.fullmatch(name)
    if match is None or match["place"] != _place():
        return False
    pid, noted = int(match["pid"]), int(match["born"])
    born = _born(pid)
    return not _runs(pid) or (born != noted and 0 not in (born, noted))


def _place() -> str:
    """Boot and namespace in which a process number has its meaning."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip().replace("-", "")
        return f"{boot}-{Path('/proc/self/ns/pid').stat().st_ino}"
    except OSError:
        return f"0-{os.getpid()}"


def _born(pid: int) -> int:
    """Clock ticks after boot at which a process began, which tells it from a later one of the same number; or 0."""
    try:
        # The second field is the program's name in brackets, which may itself hold brackets and spaces.
        return int(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[19])
    except (OSError, IndexError, ValueError):
        return 0


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True
