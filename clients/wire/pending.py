"""Calls that servers work on, and those of them that nobody waits for any more.

No call is cancelled: Triton 24.10 can crash if a call ends just as its reply is ready, and a deadline of gRPC that
passes ends a call too. Deadlines therefore apply to the waiting only. A call that is abandoned, because its deadline
passed or its stream was left, runs to its end, and its reply is dropped.
"""

from __future__ import annotations

import atexit
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from weakref import WeakValueDictionary

from camserve.clients.steps import Call
from camserve.clients.wire.failures import DEADLINE_REASON, CallFailed, unresponsive

__all__ = ["EXIT_SECONDS", "LIMIT", "LONGEST", "Line", "Outcome", "PendingCall", "finish_before_exit", "line_to"]

LIMIT = 64
"""Number of abandoned calls of this process at one server from which on no further call is sent to it."""

LONGEST = 300.0
"""Seconds after its own deadline at which an abandoned call ends in any case: the server hangs."""

EXIT_SECONDS = 1.0
"""Seconds that the exit of the interpreter waits for calls that servers still work on."""

Outcome = bytes | Exception
_under_way: set[object] = set()


class PendingCall:
    """A call, and the wait for its outcome.

    Args:
        call: What is sent.
        line: The calls to the same server.

    Attributes:
        is_sent: Whether the server has received the call, or will.
        is_heard: Whether somebody waits for the outcome.
    """

    def __init__(self, call: Call, line: Line) -> None:
        self.call = call
        self.is_sent = False
        self.is_heard = True
        self._line = line
        self._outcome: Outcome = b""
        self._wake: Callable[[], object] | None = None
        self._settled = threading.Lock()  # held until there is an outcome: a future takes several times as long
        self._settled.acquire()

    def wait(self, seconds: float) -> bytes:
        """Wait for the reply.

        Raises:
            CallFailed: If there is none, or not in time: the call is abandoned then.
        """
        if self.is_heard and not self._settled.acquire(timeout=min(seconds, threading.TIMEOUT_MAX)):
            self.abandon_late()
        return self.reply()

    def reply(self) -> bytes:
        """Return, once, the reply of a call that is not pending any more, or raise what `wait` raises."""
        outcome, self._outcome = self._outcome, b""
        try:
            if isinstance(outcome, Exception):
                raise outcome
            return outcome
        finally:
            del outcome  # an error's traceback refers to this frame, and to the image

    def call_when_settled(self, wake: Callable[[], object]) -> None:
        """Call a function, in any thread, once there is an outcome or the call is abandoned; perhaps twice."""
        self._wake = wake
        if not self.is_heard:
            wake()

    def abandon_late(self) -> None:
        """Abandon the call because its deadline has passed, unless there is an outcome."""
        if self.is_heard:
            self.abandon(CallFailed("DEADLINE_EXCEEDED", self._line.reason_to_wait(self)))

    def abandon(self, outcome: Exception) -> None:
        """End the wait with an error. A call that the server works on runs to its end."""
        self._line.abandon(self, outcome)

    def end(self, outcome: Outcome) -> None:
        """Record the end of the call itself."""
        self._line.end(self, outcome)

    def abandon_if_pending(self) -> None:
        """Abandon the call unless there is an outcome: who waited for it was interrupted."""
        if self.is_heard:
            self.abandon(unresponsive())

    def settle(self, outcome: Outcome) -> None:
        """Set the outcome, while the lock of the line is held."""
        self._outcome = outcome
        self.is_heard = False

    def wake(self) -> None:
        """Wake who waits for the outcome, which has been set."""
        self._settled.release()
        if self._wake is not None:
            self._wake()


class Line:
    """The calls to one server. While too many abandoned ones are under way, further calls wait to be sent.

    Args:
        limit: The number of abandoned calls from which on no call is sent.
    """

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._abandoned: set[PendingCall] = set()
        self._unsent: dict[PendingCall, tuple[Callable[[], None], Callable[[], None]]] = {}

    def begin(self, pending: PendingCall, send: Callable[[], None], drop: Callable[[], None]) -> None:
        """Send a call, now or once one of the abandoned calls has ended.

        Args:
            pending: The call.
            send: Sends it.
            drop: Called instead if it is abandoned before it is sent.
        """
        with self._lock:
            if len(self._abandoned) >= self._limit:
                self._unsent[pending] = (send, drop)
                return
            pending.is_sent = True
        _send(pending, send)

    def abandon(self, pending: PendingCall, outcome: Exception) -> None:
        """End the wait for a call, if it is still waited for."""
        with self._lock:
            if not pending.is_heard:
                return
            unsent = self._unsent.pop(pending, None)
            if pending.is_sent:
                self._abandoned.add(pending)
            pending.settle(outcome)
        pending.wake()
        if unsent is not None:
            _, drop = unsent
            drop()

    def end(self, pending: PendingCall, outcome: Outcome) -> None:
        """Record the end of a call, and send calls that waited for it."""
        _under_way.discard(pending)
        with self._lock:
            was_heard = pending.is_heard
            if was_heard:
                pending.settle(outcome)
            else:
                self._abandoned.discard(pending)
            ready = self._take_unsent() if self._unsent else ()
        if was_heard:
            pending.wake()
        for each, send in ready:
            _send(each, send)

    def _take_unsent(self) -> list[tuple[PendingCall, Callable[[], None]]]:
        free = max(0, self._limit - len(self._abandoned))
        ready = [(each, self._unsent.pop(each)[0]) for each in list(self._unsent)[:free]]
        for each, _ in ready:
            each.is_sent = True
        return ready

    def reason_to_wait(self, pending: PendingCall) -> str:
        """Return why a call was not answered in time."""
        if pending in self._unsent:
            requests = "request is" if self._limit == 1 else "requests are"
            return f"{self._limit} abandoned {requests} still under way there"
        return DEADLINE_REASON


_lines: WeakValueDictionary[str, Line] = WeakValueDictionary()
_lines_lock = threading.Lock()


def line_to(url: str) -> Line:
    """Return the line to a server that all clients of this process share."""
    with _lines_lock:
        line = _lines.get(url)
        if line is None:
            line = _lines[url] = Line()
        return line


def _send(pending: PendingCall, send: Callable[[], None]) -> None:
    _under_way.add(pending)
    send()


@contextmanager
def finish_before_exit(work: object) -> Iterator[None]:
    """Let the exit of the interpreter wait for the block, which runs in a thread that ends with the process."""
    _under_way.add(work)
    try:
        yield
    finally:
        _under_way.discard(work)


@atexit.register
def _let_run_out() -> None:
    """Wait, at the exit of the interpreter, for the calls that servers work on: they end with the process."""
    end = time.monotonic() + EXIT_SECONDS
    left = set(_under_way)
    with suppress(KeyboardInterrupt):
        while left & _under_way and time.monotonic() < end:
            time.sleep(0.01)


def _forget_parent() -> None:
    """Forget the calls of the parent in a forked process, where they never end and a lock may be held forever."""
    global _lines_lock  # noqa: PLW0603
    _lines_lock = threading.Lock()
    _lines.clear()
    _under_way.clear()


os.register_at_fork(after_in_child=_forget_parent)
