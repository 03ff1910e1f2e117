"""Supervision: a server that died by itself is started again, with a growing delay and a limit."""

from __future__ import annotations

import signal
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from camserve.errors import ServerError
from camserve.serving.server.startup import StartupCrashError
from camserve.serving.server.triton import TritonServer
from camserve.text import count

__all__ = ["Restart", "RestartLimit", "outcome", "supervise"]

_MINUTE = 60.0
_HOUR = 3600.0


@dataclass(frozen=True, kw_only=True)
class RestartLimit:
    """How often and how fast a server is started again.

    Attributes:
        restarts: Number of restarts within the period after which the server is not started again.
        period: Length of the period in seconds.
        delay: Seconds before the second restart within the period; it doubles with each further one. The first restart
            is immediate.
    """

    restarts: int = 5
    period: float = 600.0
    delay: float = 1.0

    def delay_of(self, number: int) -> float:
        """Return the seconds before a restart; the first within the period has number 1."""
        return 0.0 if number == 1 else self.delay * 2.0 ** (number - 2)

    def __str__(self) -> str:
        whole = self.period % _MINUTE == 0
        period = count(round(self.period / _MINUTE), "minute") if whole else count(round(self.period), "second")
        return f"{self.restarts} in {period}"


@dataclass(frozen=True, kw_only=True)
class Restart:
    """A restart that is about to happen.

    Attributes:
        cause: What happened, such as `Triton ended by signal SIGSEGV after 12 min`.
        reason: The same as a label of the metric `camserve_restarts`, such as `SIGSEGV`.
        number: Number of this restart within the period of the limit, from 1 on.
        limit: How often the server is started again.
        log: The last lines of the server's log.
    """

    cause: str
    reason: str
    number: int
    limit: RestartLimit
    log: str

    @property
    def delay(self) -> float:
        """Seconds until the restart."""
        return self.limit.delay_of(self.number)

    def __str__(self) -> str:
        when = f" in {_duration(self.delay)}" if self.delay else ""
        return f"{self.cause}; starting it again{when} ({self.number} of {self.limit})"


@dataclass(frozen=True)
class _Ending:
    """How a run of the server ended: with an exit code, or with an error before there was one."""

    cause: str
    reason: str
    code: int
    error: ServerError | None = None


def supervise(
    server: TritonServer,
    *,
    limit: RestartLimit | None = None,
    on_restart: Callable[[Restart], object] = lambda _: None,
    on_ready: Callable[[tuple[str, ...]], object] = lambda _: None,
) -> int:
    """Wait until a running server ends for good; if it ends by a signal or with an error, start it again.

    An exception in this thread, such as `KeyboardInterrupt`, ends the supervision at any time; stop the server then. In
    another thread, `server.stop()` ends both.

    Args:
        server: The server, which has been started.
        limit: How often it is started again (default: `RestartLimit()`).
        on_restart: Called before each restart, and before its delay.
        on_ready: Called when the server is ready again, with the reasons why models are missing, one sentence each.

    Returns:
        Its exit code: that of the last run if the server was stopped, 0 if something else shut it down, otherwise that
        of the run after the last permitted restart; if a signal ended it, the negative number of the signal.

    Raises:
        ServerError: If the last permitted restart fails before the server runs.
    """
    limit = limit or RestartLimit()
    recent: deque[float] = deque()
    ending = _run(server)
    while ending.code != 0 and not server.stopped.is_set():
        number = _count(recent, limit)
        if number > limit.restarts:
            if ending.error is not None:
                raise ending.error
            break
        restart = Restart(cause=ending.cause, reason=ending.reason, number=number, limit=limit, log=server.log_tail)
        on_restart(restart)
        if server.stopped.wait(restart.delay):
            break
        ending = _run_again(server, ending.reason, on_ready)
    return ending.code


def outcome(code: int) -> str:
    """Return how a server ended: `with exit code 1`, `by signal SIGSEGV`."""
    return f"with exit code {code}" if code >= 0 else f"by signal {_signal_name(-code)}"


def _count(recent: deque[float], limit: RestartLimit) -> int:
    """Add a restart now to the times of the recent ones and return how many the last period has."""
    now = time.monotonic()
    while recent and now - recent[0] >= limit.period:
        recent.popleft()
    recent.append(now)
    return len(recent)


def _run(server: TritonServer) -> _Ending:
    began = time.monotonic()
    code = server.wait()
    return _Ending(f"Triton ended {outcome(code)} after {_duration(time.monotonic() - began)}", _label(code), code)


def _run_again(server: TritonServer, reason: str, on_ready: Callable[[tuple[str, ...]], object]) -> _Ending:
    try:
        missing = server.restart(reason)
    except StartupCrashError as error:
        return _Ending(f"Triton ended {outcome(error.code)} before it was ready", _label(error.code), error.code)
    except ServerError as error:
        if server.stopped.is_set():
            return _Ending("Triton was stopped", "stopped", server.stop())
        return _Ending(f"Triton did not start: {error.message.splitlines()[0]}", "not started", 1, error)
    if server.stopped.is_set():  # while it was being started
        return _Ending("Triton was stopped", "stopped", server.stop())
    on_ready(missing)
    return _run(server)


def _label(code: int) -> str:
    return f"exit code {code}" if code >= 0 else _signal_name(-code)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # real-time signals have no name of their own
        return str(number)


def _duration(seconds: float) -> str:
    if seconds < _MINUTE:
        return f"{seconds:.3g} s" if seconds < 1 else f"{seconds:.0f} s"
    return f"{seconds / _MINUTE:.0f} min" if seconds < 2 * _HOUR else f"{seconds / _HOUR:.0f} h"
