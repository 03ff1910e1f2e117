"""gRPC channels: one to each server, and one more for its health checks."""

from __future__ import annotations

import logging
import threading
import time
import weakref
from collections.abc import Callable, Mapping

import grpc

from camserve.clients.steps import Call, Metadata
from camserve.clients.threads import no_thread, starting_threads
from camserve.clients.wire import health_checks
from camserve.clients.wire.callers import Caller, GrpcThread, Method
from camserve.clients.wire.channel_settings import SERVICE
from camserve.clients.wire.connection_options import Deadline
from camserve.clients.wire.endpoints import Endpoints
from camserve.clients.wire.failures import CallFailed, unresponsive
from camserve.clients.wire.pending import Line, Outcome, PendingCall

__all__ = ["Channel", "Dial", "HealthCheck"]

Dial = Callable[[str], grpc.Channel]
_log = logging.getLogger("camserve.clients.wire")


class Channel:
    """The channel to one server, which can be reset. May be used from several threads.

    Args:
        url: The server.
        dial: Opens a connection.
        caller: Makes the calls.
        line: The calls to the server.
    """

    def __init__(self, url: str, dial: Dial, caller: Caller, line: Line) -> None:
        self._url = url
        self._dial = dial
        self._caller = caller
        self._line = line
        self._connection = _Connection(dial(url))
        self._pending: set[PendingCall] = set()

    def begin(self, call: Call) -> PendingCall:
        """Begin a call; one without time left fails unsent."""
        pending = PendingCall(call, self._line)
        self._pending.add(pending)
        if call.seconds > 0:
            self._line.begin(pending, lambda: self._send(pending), lambda: self._forget(pending))
        else:
            self._forget(pending)
            pending.abandon_late()
        return pending

    def abandon_calls(self) -> None:
        """End the wait for every pending call."""
        for pending in list(self._pending):
            pending.abandon(unresponsive())

    def reset(self) -> None:
        """Abandon every pending call; later ones use a new connection."""
        old, self._connection = self._connection, _Connection(self._dial(self._url))
        self.abandon_calls()
        old.retire()

    @property
    def is_idle(self) -> bool:
        """Whether the server works on no call."""
        return self._connection.is_idle

    def wait_until_idle(self) -> None:
        """Wait until the server works on no call."""
        self._connection.wait_until_idle()

    def close(self) -> None:
        """Abandon every call, and close the connection once the last call has ended."""
        self._connection.retire()
        self.abandon_calls()
        self._caller.close()

    def _send(self, pending: PendingCall) -> None:
        connection = self._connection
        method = connection.enter(pending.call.method)
        while method is None and connection is not self._connection:  # it has just been reset
            connection = self._connection
            method = connection.enter(pending.call.method)

        def done(outcome: Outcome) -> None:
            self._forget(pending)
            if method is not None:
                connection.leave()
            pending.end(outcome)

        if method is None:
            done(unresponsive())
            return
        try:
            self._caller.start(method, pending, done)
        except RuntimeError as error:
            if self._caller.breaks_connections:
                self._connection = _Connection(self._dial(self._url))
            done(no_thread(str(error)))

    def _forget(self, pending: PendingCall) -> None:
        self._pending.discard(pending)
        if pending.call.ended is not None:
            pending.call.ended()


class _Connection:
    """A connection that is closed after its last call.

    Args:
        channel: The channel of gRPC.
    """

    def __init__(self, channel: grpc.Channel) -> None:
        self._channel = channel
        self._methods: dict[str, Method] = {}
        self._calls = 0
        self._retired = False
        self._changed = threading.Condition(threading.Lock())

    def enter(self, method: str) -> Method | None:
        """Count a call and return its method; None if the connection is retired."""
        with self._changed:
            if self._retired:
                return None
            if method not in self._methods:
                self._methods[method] = self._channel.unary_unary(SERVICE + method)
            self._calls += 1
            return self._methods[method]

    def leave(self) -> None:
        """Record the end of a call."""
        with self._changed:
            self._calls -= 1
            if self._calls:
                return
            self._changed.notify_all()
        self._close_if_over()

    def retire(self) -> None:
        """Accept no further call, and close the connection after the last one."""
        with self._changed:
            self._retired = True
        self._close_if_over()

    @property
    def is_idle(self) -> bool:
        return self._calls == 0

    def wait_until_idle(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self.is_idle)

    def _close_if_over(self) -> None:
        if self._retired and self.is_idle:
            self._channel.close()


class HealthCheck:
    """Checks the health of every server, over separate connections, which no large message blocks.

    Args:
        owner: The checks end when it is closed or garbage-collected.
        channels: The channels to reset if a server hangs.
        endpoints: Records the results.
        dial: Opens connections.
        metadata: Headers of every check.
    """

    def __init__(
        self, owner: object, channels: Mapping[str, Channel], endpoints: Endpoints, dial: Dial, metadata: Metadata
    ) -> None:
        self._owner = weakref.ref(owner)
        self._channels = channels
        self._endpoints = endpoints
        self._metadata = metadata
        # A server that hangs has one check under way, not one more each second.
        self._own = {url: Channel(url, dial, GrpcThread(), Line(limit=1)) for url in channels}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="camserve-health", daemon=True)
        with starting_threads():
            self._thread.start()

    def stop(self) -> None:
        """End the checks, and wait until they have ended."""
        self._stopping.set()
        for channel in self._own.values():
            channel.close()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.wait(health_checks.INTERVAL) and self._owner() is not None:
            try:
                self._check()
            except Exception as error:  # noqa: BLE001  (a server that is down would never be found up again)
                _log.warning(*health_checks.error_message(error))

    def _check(self) -> None:
        due = self._endpoints.due(time.monotonic())
        deadline = Deadline(health_checks.TIMEOUT)
        pending = {url: self._own[url].begin(health_checks.check(url, self._metadata)) for url in due}
        for url, check in pending.items():
            reply: bytes | CallFailed
            try:
                reply = check.wait(deadline.remaining())
            except CallFailed as failed:
                reply = failed
            health = health_checks.judge(reply)
            if not self._stopping.is_set() and self._endpoints.record_check(url, health, time.monotonic()):
                self._channels[url].reset()
