"""The server process: started in its own process group, guarded, and always ended and reaped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from camserve.serving.server import guard

__all__ = ["ServerProcess"]

_POLL_SECONDS = 0.02


class ServerProcess:
    """A running server with its guard process.

    Args:
        command: Program and arguments.
        environment: Its complete environment.
        log: File to append its output to.
        scratch: Folder that the guard removes if it ends the server; see `guard.remove_scratch`.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], log: Path, scratch: Path) -> None:
        self._scratch = scratch
        self._guard: subprocess.Popen[bytes] | None = None
        with log.open("ab") as output:
            # In a separate session, Ctrl-C reaches only the caller, which then shuts the server down gracefully.
            self._process = subprocess.Popen(
                command,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            self._guard = self._start_guard()
        except BaseException:
            self._finish()
            raise

    @property
    def pid(self) -> int:
        """Process ID of the server."""
        return self._process.pid

    @property
    def exited(self) -> bool:
        """Whether the server process has ended."""
        if self._process.returncode is not None:
            return True
        try:
            return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        except ChildProcessError:  # the program ignores SIGCHLD, so the kernel reaped it
            return True

    def wait(self) -> int:
        """Wait until the process ends and return its exit code; 0 if it is lost because the program ignores SIGCHLD."""
        while not self.exited:
            time.sleep(_POLL_SECONDS)
        return self._finish()

    def stop(self, grace: float) -> int:
        """Terminate the server, kill it after `grace` seconds, and return its exit code."""
        deadline = time.monotonic() + grace
        if not self.exited:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGTERM)
        while not self.exited and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
        return self._finish()

    def _finish(self) -> int:
        if self._process.returncode is None:
            # As long as the leader is not reaped, its process ID cannot be reused by another group.
            with suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
            self._process.wait()
            self._end_guard()
        return self._process.returncode

    def _start_guard(self) -> subprocess.Popen[bytes]:
        program = [sys.executable, "-I", "-S", guard.__file__]
        return subprocess.Popen(
            [*program, str(os.getpid()), str(self.pid), str(self._scratch)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def _end_guard(self) -> None:
        if self._guard is not None:
            self._guard.kill()
            self._guard.wait()
