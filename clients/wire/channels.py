"""gRPC channels of threads: one to each server, and one more for its health checks."""

from __future__ import annotations

import logging
import threading
import time
import weakref
from collections.abc import Callable, Mapping

import grpc

from camserve.clients.steps import Call, Metadata
from camserve.clients.threads import starting_threads
from camserve.clients.wire import health_checks
from camserve.clients.wire.channel_settings import SERVICE
from camserve.clients.wire.endpoints import Endpoints
from camserve.clients.wire.failures import CallFailed, unresponsive

__all__ = ["Channel", "Dial", "HealthCheck"]

Dial = Callable[[str], grpc.Channel]
_log = logging.getLogger("camserve.clients.wire")


class Channel:
    """The channel to one server, which can be reset.

    Args:
        url: The server.
        dial: Opens the channel.
    """

    def __init__(self, url: str, dial: Dial) -> None:
        self._url = url
        self._dial = dial
        self._channel = dial(url)
        self._methods: dict[str, grpc.UnaryUnaryMultiCallable[bytes, bytes]] = {}
        self._ended = threading.Event()

    def call(self, call: Call) -> bytes:
        """Make a call and wait for its reply.

        A blocking call needs no further thread, and a signal such as Ctrl-C interrupts it.

        Raises:
            CallFailed: If there is no reply.
        """
        ended = self._ended
        try:
            return self._method(call.method)(call.message, timeout=call.seconds, metadata=call.metadata)
        except grpc.RpcError as error:
            # A server, too, may cancel a call.
            if error.code() is grpc.StatusCode.CANCELLED and ended.is_set():
                raise unresponsive() from None
            raise _failure(error, call) from None
        except ValueError:  # raised by a closed channel
            if not ended.is_set():
                raise
            raise unresponsive() from None

    def begin(self, call: Call) -> Callable[[], bytes | CallFailed]:
        """Begin a call, and return the function that waits for its reply or its failure."""
        try:
            future = self._method(call.method).future(call.message, timeout=call.seconds, metadata=call.metadata)
        except ValueError:  # raised by a closed channel
            return unresponsive

        def wait() -> bytes | CallFailed:
            try:
                return future.result()
            except grpc.RpcError as error:
                return _failure(error, call)
            except grpc.FutureCancelledError:
                return unresponsive()

        return wait

    def reset(self) -> None:
        """End every pending call; later ones use a new channel."""
        old, self._channel, self._methods = self._channel, self._dial(self._url), {}
        ended, self._ended = self._ended, threading.Event()
        ended.set()
        old.close()

    def close(self) -> None:
        """End every call and close the channel."""
        self._ended.set()
        self._channel.close()

    def _method(self, name: str) -> grpc.UnaryUnaryMultiCallable[bytes, bytes]:
        methods = self._methods
        if name not in methods:
            methods[name] = self._channel.unary_unary(SERVICE + name)
        return methods[name]


class HealthCheck:
    """Checks the health of every server, over separate connections, which no large message blocks.

    Args:
        owner: The checks end when it is closed or garbage-collected.
        channels: The channels to reset if a server hangs.
        endpoints: Records the results.
        dial: Opens channels.
        metadata: Headers of every check.
    """

    def __init__(
        self, owner: object, channels: Mapping[str, Channel], endpoints: Endpoints, dial: Dial, metadata: Metadata
    ) -> None:
        self._owner = weakref.ref(owner)
        self._channels = channels
        self._endpoints = endpoints
        self._metadata = metadata
        self._own = {url: Channel(url, dial) for url in channels}
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
        pending = {url: self._own[url].begin(health_checks.check(url, self._metadata)) for url in due}
        for url, reply in pending.items():
            health = health_checks.judge(reply())
            if not self._stopping.is_set() and self._endpoints.record_check(url, health, time.monotonic()):
                self._channels[url].reset()


def _failure(error: grpc.RpcError, call: Call) -> CallFailed:
    return CallFailed(error.code().name, error.details() or "", call.metadata)
