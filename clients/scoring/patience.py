"""Wait for a server that restarts, and report the outage once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Protocol, TypeVar

from camserve.argument_checks import check_type
from camserve.errors import ConnectionFailedError, DeadlineError, NotLoadedError, UsageError

__all__ = ["OutageListener", "OutageReport", "Patience", "check_patience", "duration"]

T = TypeVar("T")

_OUTAGES = (ConnectionFailedError, DeadlineError, NotLoadedError)
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 2.0
_MINUTE = 60.0


class OutageListener(Protocol):
    """Is told of outages by every thread that notices one. Times are those of `time.monotonic`."""

    def begins(self, since: float, message: str) -> None:
        """Note that the server has not answered since a time."""

    def ends(self, at: float) -> None:
        """Note that the server answered again."""


class OutageReport:
    """Reports each outage once, and its end, whichever threads or processes notice it.

    Args:
        report: Receives the messages.
        patience: Seconds for which the outage is waited for.
    """

    def __init__(self, report: Callable[[str], None], patience: float) -> None:
        self._report = report
        self._patience = patience
        self._lock = threading.Lock()
        self._since: float | None = None
        self._ended = -float("inf")

    def begins(self, since: float, message: str) -> None:
        """Report an outage, unless it is known."""
        with self._lock:
            if self._since is not None or since < self._ended:
                return
            self._since = since
        self._report(f"{message}; waiting for the server for up to {duration(self._patience)}")

    def ends(self, at: float) -> None:
        """Report the end of the outage, unless it is known."""
        with self._lock:
            since, self._since, self._ended = self._since, None, at
        if since is not None:
            self._report(f"the server replies again, after {duration(at - since)}")


class Patience:
    """Repeats requests to a server that has answered before, until it answers again. Threads may share it.

    Args:
        seconds: How long to wait, from the start of the first request that failed; 0 to fail at once.
        outages: Is told of outages.
    """

    def __init__(self, seconds: float, outages: OutageListener | None = None) -> None:
        self._seconds = seconds
        self._outages = outages
        self._stopped = threading.Event()

    def bridge(self, attempt: Callable[[], T]) -> T:
        """Return the result of the attempt, which is repeated while the server does not answer or loads the model.

        Raises:
            ConnectionFailedError: If no server answered for so long.
            DeadlineError: If none answered in time for so long.
            NotLoadedError: If none served the model for so long.
        """
        since: float | None = None
        pause = _FIRST_PAUSE
        while True:
            began = time.monotonic()
            try:
                result = attempt()
            except _OUTAGES as error:
                since = began if since is None else since
                failed = error
            else:
                if since is not None and self._outages is not None:
                    self._outages.ends(time.monotonic())
                return result
            waited = time.monotonic() - since
            if waited + pause > self._seconds or self._stopped.is_set():
                raise _after(failed, waited, self._seconds)
            if self._outages is not None:
                self._outages.begins(since, failed.message)
            self._stopped.wait(pause)
            pause = min(_LONGEST_PAUSE, 2 * pause)

    def stop(self) -> None:
        """End the wait of all threads."""
        self._stopped.set()

    def check(self) -> None:
        """Check that the work is to go on.

        Raises:
            UsageError: If `stop` was called.
        """
        if self._stopped.is_set():
            raise UsageError("scoring has ended", hint="Start it again")


def check_patience(patience: float) -> None:
    """Check a number of seconds to wait for a server.

    Raises:
        UsageError: If it is not a number of at least 0.
    """
    check_type("patience", patience, (int, float), "a number of seconds")
    if not patience >= 0:
        raise UsageError(f"patience must be at least 0, got {patience:g}", hint="Pass seconds, or 0 to fail at once")


def duration(seconds: float) -> str:
    """Return seconds as text, such as `12 s` or `5 min`."""
    if seconds < 2 * _MINUTE and seconds % _MINUTE:
        return f"{seconds:.3g} s"
    return f"{seconds / _MINUTE:.3g} min"


def _after(
    error: ConnectionFailedError | DeadlineError | NotLoadedError, waited: float, patience: float
) -> ConnectionFailedError | DeadlineError | NotLoadedError:
    """Return the error with the time that was waited for the server in vain."""
    if not patience:
        return error
    hint = f"{error.hint}; to wait longer: --patience SECONDS" if error.hint else "Wait longer: --patience SECONDS"
    return type(error)(f"{error.message} (waited for {duration(waited)})", hint=hint)
