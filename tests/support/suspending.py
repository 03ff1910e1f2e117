"""A server that hangs: suspended as by a debugger, and then let go on."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

from camserve.serving import TritonServer

__all__ = ["suspended"]


@contextmanager
def suspended(server: TritonServer) -> Iterator[None]:
    """The server, which takes connections and answers nothing, until the block ends."""
    os.kill(server.pid, signal.SIGSTOP)
    os.waitid(os.P_PID, server.pid, os.WSTOPPED | os.WNOWAIT)  # the signal takes a while to halt every thread
    try:
        yield
    finally:
        os.kill(server.pid, signal.SIGCONT)
