"""Ends the server when the program that started it has died without doing so.

Runs as a program of its own, with nothing but the standard library: `guard.py PARENT SERVER SCRATCH`. A signal on the
parent's death (PR_SET_PDEATHSIG) would not do: the kernel sends it when the starting thread ends, not the process.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

__all__ = ["remove_traces"]

_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - where the kernel keeps it
_INTERVAL = 0.2
_GRACE = 10.0


def remove_traces(scratch: Path) -> None:
    """Removes the server's scratch folder, and the shared memory whose names begin with the folder's name."""
    shutil.rmtree(scratch, ignore_errors=True)
    for region in _SHARED_MEMORY.glob(f"{scratch.name}*"):
        with suppress(OSError):
            region.unlink()


def main(parent: int, server: int, scratch: Path) -> None:
    """Waits for the parent's death, then ends the server's process group and removes its traces."""
    while os.getppid() == parent:
        time.sleep(_INTERVAL)
    with suppress(ProcessLookupError):
        os.kill(server, signal.SIGTERM)
        _wait_for(server)
    with suppress(ProcessLookupError):
        os.killpg(server, signal.SIGKILL)
    remove_traces(scratch)


def _wait_for(server: int) -> None:
    deadline = time.monotonic() + _GRACE
    while time.monotonic() < deadline:
        os.kill(server, 0)
        time.sleep(_INTERVAL)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
