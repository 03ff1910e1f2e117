"""The processes in which Triton runs Python backends: a server that has lost one is ended.

Such a process dies when the kernel needs memory, or by a crash of a runtime. From Triton 24.06 on, nobody starts it
again: its share of the requests fails from then on, the server says that it is ready nevertheless, and it never stops
in order (https://github.com/triton-inference-server/server/issues/8604). A dead server, however, is started again by
`supervise` or another supervisor, and clients repeat their requests meanwhile.
"""

from __future__ import annotations

import logging
import os
import signal
import time
from contextlib import suppress
from pathlib import Path
from threading import Event, Thread
from typing import NamedTuple

from camserve.serving.server.process import ServerProcess

__all__ = ["DeadProcess", "ModelProcessWatch", "ModelProcesses"]

_log = logging.getLogger("camserve.serving")

_POLL_SECONDS = 1.0
_DEAD_SECONDS = 3.0
"""How long a process is dead before it is lost: Triton reaps one that dies while its model is loaded within two
seconds, and reports that the model does not load."""

_NEW_DEAD_SECONDS = 10.0
"""The same for one that was never seen alive. Most of them die while a model is loaded, too, and a busy machine is not
to end the server for that. But until such a process has started the thread that reports its health, in its first 20 ms,
Triton waits for it without a timeout: if it dies then, its model is loaded for ever."""

_LOOKS_PER_LISTING = 3
"""How many looks find the same processes: listing them takes milliseconds, as Triton has over a hundred threads."""

_STUB = "triton_python_backend_stub"
_NAMES = frozenset({"tritonserver", "bash", _STUB[:15]})
"""The names that such a process has one after the other; the kernel keeps 15 characters."""

_CHILDREN = "children"  # of a thread; missing in a kernel without CONFIG_PROC_CHILDREN
_INSTANCE = 8
"""The argument of the stub that is the name of the instance, such as `digits_0_1`."""


class DeadProcess(NamedTuple):
    """A process of a model that has ended, and that the server has not reaped.

    Attributes:
        instance: Name of the instance that it ran; None if it died before anyone saw it alive.
        status: Its wait status.
    """

    instance: str | None
    status: int

    @property
    def seconds_until_lost(self) -> float:
        """After how many seconds the server will not reap it any more."""
        return _NEW_DEAD_SECONDS if self.instance is None else _DEAD_SECONDS

    def __str__(self) -> str:
        process = f"the process of model instance {self.instance}" if self.instance else "the new process of a model"
        if not os.WIFSIGNALED(self.status):
            return f"{process} ended with exit code {os.waitstatus_to_exitcode(self.status)}"
        ended = signal.Signals(os.WTERMSIG(self.status))
        why = " (the kernel does that when memory is short)" if ended == signal.SIGKILL else ""
        return f"{process} was ended by signal {ended.name}{why}"


class ModelProcesses:
    """The processes of a server in which it runs Python backends.

    Args:
        server: Process ID of the server.
        changing: Whether it loads models later.
    """

    def __init__(self, server: int, *, changing: bool) -> None:
        self._server = server
        self._changing = changing
        self._instances: dict[int, str | None] = {}
        self._looks = 0

    def dead(self) -> dict[int, DeadProcess]:
        """Return those that have ended and that the server has not reaped, by process ID."""
        if self._looks == 0 or (self._changing and self._looks % _LOOKS_PER_LISTING == 0):
            children = _children(self._server)
            self._instances = {child: self._instances.get(child) for child in children if self._state(child)}
        self._looks += 1
        dead: dict[int, DeadProcess] = {}
        for process, instance in self._instances.items():
            match self._state(process):
                case "Z", status:
                    dead[process] = DeadProcess(instance, status)
                case _, _ if instance is None:
                    self._instances[process] = _instance(process)
        return dead

    def _state(self, process: int) -> tuple[str, int] | None:
        """Return the state of a process, `Z` if it has ended, and its wait status; None if it is not of this server."""
        try:
            name, _, rest = Path(f"/proc/{process}/stat").read_text(errors="replace").partition("(")[2].rpartition(")")
        except OSError:  # it has ended, and its parent has reaped it
            return None
        fields = rest.split()
        return (fields[0], int(fields[-1])) if name in _NAMES and int(fields[1]) == self._server else None


class ModelProcessWatch:
    """Kills a server that has lost the process of a model, in a thread, after logging a warning.

    Args:
        server: The server, which has loaded its models.
        changing: Whether it loads models later.
    """

    def __init__(self, server: ServerProcess, *, changing: bool) -> None:
        self._server = server
        self._processes = ModelProcesses(server.pid, changing=changing)
        self._ended = Event()

    def follow(self) -> None:
        """Look again and again, until the server ends."""
        self._processes.dead()  # from now on they are known
        Thread(target=self._follow, name="camserve-models", daemon=True).start()

    def end(self) -> None:
        """Stop looking. Call this before the server is stopped, which ends the processes of its models."""
        self._ended.set()

    def _follow(self) -> None:
        since: dict[int, float] = {}
        while not self._ended.wait(_POLL_SECONDS) and not self._server.exited:
            dead, now = self._processes.dead(), time.monotonic()
            since = {process: since.get(process, now) for process in dead}
            lost = [dead[process] for process in dead if now - since[process] >= dead[process].seconds_until_lost]
            if lost and not self._ended.is_set():
                fate = "wait for it for ever" if lost[0].instance is None else "not start it again"
                _log.warning("%s; Triton, which would %s, is ended", lost[0], fate)
                self._server.kill()
                return


def _children(server: int) -> list[int]:
    """Return the process IDs of the child processes of a server; all where the kernel does not list children."""
    tasks = Path(f"/proc/{server}/task")
    if not (tasks / str(server) / _CHILDREN).exists():
        return [int(folder.name) for folder in Path("/proc").iterdir() if folder.name.isdigit()]
    found: list[int] = []
    with suppress(OSError):  # the server has ended
        for task in tasks.iterdir():
            with suppress(OSError):  # the thread has ended
                found += map(int, (task / _CHILDREN).read_text().split())
    return found


def _instance(process: int) -> str | None:
    """Return the name of the instance that a process runs; None if it has ended, or is not the stub yet."""
    try:
        arguments = Path(f"/proc/{process}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return None
    return arguments[_INSTANCE] if len(arguments) > _INSTANCE and arguments[0].endswith(_STUB) else None
