"""A server as a process with children: start it, wait for it, pause it, and end all of it."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from support.process_usage import descendants, is_running, processor_seconds

__all__ = ["ServerError", "ServerProcess", "exit_when_terminated", "free_port", "started"]

START_SECONDS = 120.0
STOP_SECONDS = 10.0

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_LISTENS = "0A"


class ServerError(RuntimeError):
    """A server did not start, ended, or listens on more than the loopback address; the message is the reason."""


@dataclass(frozen=True)
class ServerProcess:
    """A server.

    Attributes:
        process: Its first process.
        log: What it printed.
    """

    process: subprocess.Popen[bytes]
    log: Path

    def all(self) -> list[int]:
        """Return the process IDs of the server."""
        return [self.process.pid, *descendants(self.process.pid)]

    def check(self) -> None:
        """Check that the server runs.

        Raises:
            ServerError: If it ended; the message contains the last line that it printed.
        """
        if (code := self.process.poll()) is not None:
            lines = self.log.read_text(errors="replace").strip().splitlines() or ["nothing"]
            raise ServerError(f"ended with exit code {code}; printed last: {lines[-1][:300]}")

    def check_addresses(self) -> None:
        """Check that it cannot be reached from outside.

        Raises:
            ServerError: If one of its processes listens on another address than that of the loopback interface.
        """
        for address in listening(self.all()):
            if not (address.startswith("127.") or address in ("::1", "::ffff:127.0.0.1")):
                raise ServerError(f"listens on {address}")

    def pause(self) -> None:
        """Suspend all processes."""
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Let them go on."""
        self._signal(signal.SIGCONT)

    def processor_seconds(self) -> float:
        """Return the processor time that it has taken."""
        return sum(map(processor_seconds, self.all()))

    def stop(self) -> None:
        """Ask its first process to end, which ends the others, and kill what is left of them."""
        members = self.all()
        self._signal(signal.SIGCONT)
        self.process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(STOP_SECONDS)
        for pid in {*members, *self.all()}:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()
        for pid in members[1:]:
            _wait_for_the_end(pid)

    def _signal(self, number: int) -> None:
        for pid in self.all():
            with suppress(ProcessLookupError):
                os.kill(pid, number)


@contextmanager
def started(words: Sequence[str | Path], environment: Mapping[str, str], log: Path) -> Iterator[ServerProcess]:
    """Start a server in its own folder of results, and end it afterwards."""
    adopt_orphans()
    with log.open("wb") as output:
        process = subprocess.Popen(
            list(map(str, words)),
            env=os.environ | environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=log.parent,
        )
    server = ServerProcess(process, log)
    try:
        yield server
    finally:
        server.stop()


def _wait_for_the_end(pid: int) -> None:
    """Wait until a killed process has ended, which is a child of this one if its parent has ended."""
    while is_running(pid):
        with suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)
        time.sleep(0.01)


def adopt_orphans() -> None:
    """Become the parent of processes whose parent ends, so that they are still found."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)


def exit_when_terminated() -> None:
    """Leave all contexts at SIGTERM, and when the parent ends: servers that are paused do not end by themselves."""
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def free_port() -> int:
    """Return a port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def listening(pids: Sequence[int]) -> set[str]:
    """Return the addresses that processes listen on for TCP."""
    inodes = {inode for pid in pids for inode in sockets(pid)}
    found = set()
    for table, family in (("tcp", socket.AF_INET), ("tcp6", socket.AF_INET6)):
        for line in Path("/proc/net", table).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == _LISTENS and fields[9] in inodes:
                found.add(decode(fields[1].partition(":")[0], family))
    return found


def decode(address: str, family: int) -> str:
    """Return the usual form of an address, which the kernel prints as words of four bytes in its own order."""
    words = [bytes.fromhex(address[start : start + 8])[::-1] for start in range(0, len(address), 8)]
    return socket.inet_ntop(family, b"".join(words))


def sockets(pid: int) -> set[str]:
    """Return the inodes of the sockets of a process."""
    found = set()
    with suppress(OSError):
        for entry in Path("/proc", str(pid), "fd").iterdir():
            with suppress(OSError):
                name = str(entry.readlink())
                if name.startswith("socket:["):
                    found.add(name[8:-1])
    return found
