"""A server that hangs: a suspended process."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

from camserve.serving import TritonServer

__all__ = ["suspended"]


@contextmanager
def suspended(server: TritonServer) -> Iterator[None]:
    """Suspend the server until the block ends: it accepts connections and sends nothing."""
    os.kill(server.pid, signal.SIGSTOP)
    os.waitid(os.P_PID, server.pid, os.WSTOPPED | os.WNOWAIT)  # wait until every thread is suspended
    try:
        yield
    finally:
        os.kill(server.pid, signal.SIGCONT)
