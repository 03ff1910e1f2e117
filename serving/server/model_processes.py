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
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from threading import Event, Thread
from typing import NamedTuple

from camserve.serving.server.process import ServerProcess

__all__ = ["DeadProcess", "ModelProcessWatch", "ModelProcesses"]

_log = logging.getLogger("camserve.serving")

_POLL_SECONDS = 1.0
_LOOKS_AT_KNOWN = 10
"""How many looks find the same processes: listing them takes milliseconds, as Triton has a hundred threads."""

_INSTANCE = 8
"""The argument of Triton's stub that is the name of the instance, such as `digits_0_1`."""


class DeadProcess(NamedTuple):
    """A process of a model that has ended, and that the server has not waited for.

    Attributes:
        instance: Name of the instance that it ran; None if it ended before the first look.
        status: Its wait status.
    """

    instance: str | None
    status: int

    def __str__(self) -> str:
        process = (
            "the process of a model" if self.instance is None else f"the process of model instance {self.instance}"
        )
        if not os.WIFSIGNALED(self.status):
            return f"{process} ended with exit code {os.waitstatus_to_exitcode(self.status)}"
        ended = signal.Signals(os.WTERMSIG(self.status))
        why = " (the kernel does that when memory is short)" if ended == signal.SIGKILL else ""
        return f"{process} was ended by signal {ended.name}{why}"


class ModelProcesses:
    """The child processes of a server.

    Args:
        server: Process ID of the server.
    """

    def __init__(self, server: int) -> None:
        self._tasks = Path(f"/proc/{server}/task")
        self._instances: Mapping[int, str | None] = {}
        self._looks = 0

    def dead(self) -> dict[int, DeadProcess]:
        """Return those that have ended, by process ID. A server that ends a process itself waits for it at once."""
        found: dict[int, DeadProcess] = {}
        instances: dict[int, str | None] = {}
        children = self._children() if self._looks % _LOOKS_AT_KNOWN == 0 else self._instances
        self._looks += 1
        for process in children:
            with suppress(OSError, ValueError):  # it has been waited for
                state, status = _state(process)
                known = self._instances.get(process)
                instances[process] = known if state == "Z" or known else _instance(process)
                if state == "Z":
                    found[process] = DeadProcess(instances[process], status)
        self._instances = instances
        return found

    def _children(self) -> list[int]:
        found: list[int] = []
        for children in self._tasks.glob("*/children"):
            with suppress(OSError):  # the thread has ended
                found += map(int, children.read_text().split())
        return found


class ModelProcessWatch:
    """Kills a server that has lost the process of a model, in a thread, after logging a warning.

    Args:
        server: The server.
    """

    def __init__(self, server: ServerProcess) -> None:
        self._server = server
        self._ended = Event()

    def follow(self) -> None:
        """Look again and again, until the server ends."""
        Thread(target=self._follow, name="camserve-models", daemon=True).start()

    def end(self) -> None:
        """Stop looking. Call this before the server is stopped, which ends the processes of its models."""
        self._ended.set()

    def _follow(self) -> None:
        processes, before = ModelProcesses(self._server.pid), set[int]()
        while not self._ended.wait(_POLL_SECONDS) and not self._server.exited:
            dead = processes.dead()
            lost = before.intersection(dead)  # at two looks, so that the server does not wait for it
            if lost and not self._ended.is_set():
                _log.warning("%s; Triton, which would not start it again, is ended", dead[lost.pop()])
                self._server.kill()
                return
            before = set(dead)


def _state(process: int) -> tuple[str, int]:
    """Return the state of a process, `Z` if it has ended, and its wait status."""
    fields = Path(f"/proc/{process}/stat").read_text(errors="replace").rpartition(")")[2].split()
    return fields[0], int(fields[-1])


def _instance(process: int) -> str | None:
    arguments = Path(f"/proc/{process}/cmdline").read_bytes().decode(errors="replace").split("\0")
    return arguments[_INSTANCE] if len(arguments) > _INSTANCE else None
