"""The server process: started in its own process group, by a guard process, and always ended and reaped."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Lock

from camserve.serving.server import guard
from camserve.serving.server.scratch import Scratch

__all__ = ["ServerProcess"]

_POLL_SECONDS = 0.02
_RELEASE_SECONDS = 2.0


class ServerProcess:
    """A running server with its guard process, which is the parent of the server and passes on its exit code.

    Args:
        command: Program and arguments.
        environment: Its complete environment.
        log: File to append its output to, after a line that begins with the name of the scratch folder; a new one is
            readable by its user only.
        scratch: What the guard removes if it ends the server.

    Attributes:
        pid: Process ID of the server.
        private: Whether no other user can read the server's shared memory.

    Raises:
        OSError: If the log cannot be written, or the program or its guard cannot be started.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], log: Path, scratch: Scratch) -> None:
        self._finishing = Lock()
        reader, writer = os.pipe()
        with os.fdopen(reader, "rb") as report:
            try:
                self._guard = _start_guard(command, environment, log, scratch, writer)
            finally:
                os.close(writer)
            try:
                self.pid, self.private = _started(report.readline(), command[0])
            except BaseException:
                self._finish()
                raise

    @property
    def exited(self) -> bool:
        """Whether the server process has ended."""
        if self._guard.returncode is not None:
            return True
        try:
            return os.waitid(os.P_PID, self._guard.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
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
                os.kill(self._guard.pid, signal.SIGTERM)
        while not self.exited and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
        return self._finish()

    def kill(self) -> None:
        """Kill the server and the processes of its models, if it runs."""
        with self._finishing:
            if self._guard.returncode is None:
                with suppress(ProcessLookupError):
                    os.killpg(self._guard.pid, signal.SIGKILL)

    def _finish(self) -> int:
        with self._finishing:
            if self._guard.returncode is None:
                # As long as the guard, its leader, is not reaped, the number of the group cannot be reused by another.
                with suppress(ProcessLookupError):
                    os.killpg(self._guard.pid, signal.SIGKILL)
                self._guard.wait()
                self._await_group()
            return self._guard.returncode

    def _await_group(self) -> None:
        """Wait until the processes of the models, which were killed, have released their memory."""
        deadline = time.monotonic() + _RELEASE_SECONDS
        with suppress(ProcessLookupError, PermissionError):
            while time.monotonic() < deadline:
                os.killpg(self._guard.pid, 0)
                time.sleep(_POLL_SECONDS)


def _start_guard(
    command: Sequence[str], environment: Mapping[str, str], log: Path, scratch: Scratch, report: int
) -> subprocess.Popen[bytes]:
    program = [sys.executable, "-I", "-S", guard.__file__]
    with open(log, "ab", opener=lambda path, flags: os.open(path, flags, 0o600)) as output:
        output.write(f"{scratch.name}: starting {command[0]}\n".encode())
        output.flush()
        # In a separate session, Ctrl-C reaches only the caller, which then shuts the server down gracefully.
        return subprocess.Popen(
            [*program, str(os.getpid()), str(report), str(scratch.folder), *command],
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            pass_fds=(report, *scratch.locks),
            start_new_session=True,
        )


def _started(report: bytes, program: str) -> tuple[int, bool]:
    """Return the process ID and the privacy of the server from the report of the guard.

    Raises:
        OSError: If the program could not be started.
    """
    pid, error, private = map(int, report.split() or (0, errno.ECHILD, 0))
    if error:
        raise OSError(error, os.strerror(error), program)
    return pid, bool(private)
