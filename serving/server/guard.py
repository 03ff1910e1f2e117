"""The guard process: it ends the server if the program that started it dies.

It runs as a separate program that uses only the standard library: `guard.py PARENT SERVER SCRATCH`. PR_SET_PDEATHSIG is
not an alternative: the kernel sends that signal when the thread that started the server ends, not the process.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

__all__ = ["remove_scratch"]

_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - the kernel's shared memory
_POLL_SECONDS = 0.2
_GRACE_SECONDS = 10.0


def remove_scratch(scratch: Path) -> None:
    """Remove the scratch folder of a server and the shared memory whose names start with the name of the folder."""
    shutil.rmtree(scratch, ignore_errors=True)
    for region in _SHARED_MEMORY.glob(f"{scratch.name}*"):
        with suppress(OSError):
            region.unlink()


def main(parent: int, server: int, scratch: Path) -> None:
    """Wait until the parent process ends, then end the process group of the server and remove its scratch folder."""
    while os.getppid() == parent:
        time.sleep(_POLL_SECONDS)
    with suppress(ProcessLookupError):
        os.kill(server, signal.SIGTERM)
        _wait_for(server)
    with suppress(ProcessLookupError):
        os.killpg(server, signal.SIGKILL)
    remove_scratch(scratch)


def _wait_for(server: int) -> None:
    deadline = time.monotonic() + _GRACE_SECONDS
    while time.monotonic() < deadline:
        os.kill(server, 0)
        time.sleep(_POLL_SECONDS)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
