"""Tell the program of outages that tasks on the hosts of a Ray cluster notice."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import ModuleType
from typing import Any

from camserve.clients.scoring.patience import OutageReport

__all__ = ["TaskOutages", "outages_of_tasks"]

_POLL_SECONDS = 1.0


class _Mailbox:
    """An actor that keeps messages until they are taken: seconds ago, and how the outage began, or None for its end."""

    def __init__(self) -> None:
        self._messages: list[tuple[float, str | None]] = []

    def put(self, ago: float, message: str | None) -> None:
        self._messages.append((time.monotonic() - ago, message))

    def take(self) -> list[tuple[float, str | None]]:
        taken, self._messages = self._messages, []
        now = time.monotonic()
        return [(now - at, message) for at, message in taken]


class TaskOutages:
    """Tells of outages in a task of Ray; see `OutageListener`.

    Args:
        mailbox: The actor.
    """

    def __init__(self, mailbox: Any) -> None:
        self._mailbox = mailbox

    def begins(self, since: float, message: str) -> None:
        """Tell that the server has not answered since a time."""
        self._mailbox.put.remote(time.monotonic() - since, message)

    def ends(self, at: float) -> None:
        """Tell that the server answered again."""
        self._mailbox.put.remote(time.monotonic() - at, None)


@contextmanager
def outages_of_tasks(ray: ModuleType, report: OutageReport) -> Iterator[TaskOutages]:
    """Yield what tasks tell of outages, and report them until the end of the block."""
    mailbox = ray.remote(num_cpus=0)(_Mailbox).remote()
    ended = threading.Event()

    def forward() -> None:
        with suppress(ray.exceptions.RayError):  # tasks go on without
            while not ended.wait(_POLL_SECONDS):
                for ago, message in ray.get(mailbox.take.remote()):
                    at = time.monotonic() - ago
                    report.ends(at) if message is None else report.begins(at, message)

    thread = threading.Thread(target=forward, name="camserve-outages", daemon=True)
    thread.start()
    try:
        yield TaskOutages(mailbox)
    finally:
        ended.set()
        thread.join()
        with suppress(ray.exceptions.RayError):  # the error that ended the run matters
            ray.kill(mailbox)
