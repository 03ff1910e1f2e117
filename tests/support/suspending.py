"""A server that hangs: a suspended process."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from camserve.serving import TritonServer

__all__ = ["suspended", "wait_until_suspended"]

_POLL_SECONDS = 0.005


@contextmanager
def suspended(server: TritonServer) -> Iterator[None]:
    """Suspend the server until the block ends: it accepts connections and sends nothing."""
    os.kill(server.pid, signal.SIGSTOP)
    try:
        wait_until_suspended(server.pid)
        yield
    finally:
        os.kill(server.pid, signal.SIGCONT)


def wait_until_suspended(pid: int) -> None:
    """Wait until every thread of a process to which SIGSTOP was sent is suspended."""
    while not _is_suspended(pid):
        time.sleep(_POLL_SECONDS)


def _is_suspended(pid: int) -> bool:
    """Check whether every thread of a process is suspended. The guard is its parent, so it cannot be waited for."""
    threads = Path(f"/proc/{pid}/task").iterdir()
    return all((thread / "stat").read_text().rpartition(")")[2].split()[0] == "T" for thread in threads)
