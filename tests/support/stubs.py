"""The stubs of a server: the processes that run its Python backends, one for each instance of a version."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

__all__ = ["stubs"]


def stubs(server: int) -> list[int]:
    """Return the process IDs of the stubs of the server with this process ID."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it may have ended
            if int((process / "stat").read_text().rpartition(")")[2].split()[1]) == server:
                found.append(int(process.name))
    return found
