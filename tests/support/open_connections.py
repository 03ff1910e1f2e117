"""The TCP connections of this process."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from socket import AF_INET, AF_INET6, socket

__all__ = ["connections"]


def connections(port: int) -> Iterator[socket]:
    """Return the connections of this process to a port."""
    for link in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            if not str(link.readlink()).startswith("socket:"):
                continue
            with socket(fileno=os.dup(int(link.name))) as connection:
                if connection.family in (AF_INET, AF_INET6) and connection.getpeername()[1] == port:
                    yield connection
