"""Channels of threads: one to each server, and one more for its health checks."""

from __future__ import annotations

import logging
import threading
import time
import weakref
from collections.abc import Callable, Mapping

import grpc

from camserve.clients.wire import health_checks
from camserve.clients.wire.calls import Call, Metadata
from camserve.clients.wire.channel_settings import SERVICE
from camserve.clients.wire.endpoints import Endpoints
from camserve.clients.wire.failures import CallFailed, given_up

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
        """Waits for an answer.

        A blocking call needs no further thread, and a signal such as Ctrl-C interrupts it.

        Raises:
            CallFailed: If there is none.
        """
        ended = self._ended
        try:
            return self.method(call.method)(call.message, timeout=call.seconds, metadata=call.metadata)
        except grpc.RpcError as error:
            # A server, too, may cancel a call.
            if error.code() is grpc.StatusCode.CANCELLED and ended.is_set():
                raise given_up() from None
            raise _failure(error) from None
        except ValueError:  # what a channel raises that is closed
            if not ended.is_set():
                raise
            raise given_up() from None

    def method(self, name: str) -> grpc.UnaryUnaryMultiCallable[bytes, bytes]:
        """A method of Triton's service."""
        methods = self._methods
        if name not in methods:
            methods[name] = self._channel.unary_unary(SERVICE + name)
        return methods[name]

    def reset(self) -> None:
        """Ends every call under way; later ones go over a new channel."""
        old, self._channel, self._methods = self._channel, self._dial(self._url), {}
        ended, self._ended = self._ended, threading.Event()
        ended.set()
        old.close()

    def close(self) -> None:
        """Ends every call, for good."""
        self._ended.set()
        self._channel.close()


class HealthCheck:
    """Asks every server for its health, over connections of its own, so that no large message is in its way.

    Args:
        owner: With whose end it ends, also if that is dropped without being closed.
        channels: The channels that are reset where a server hangs.
        endpoints: What is told.
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
        self._thread.start()

    def stop(self) -> None:
        """Ends the checks, and waits until they have ended."""
        self._stopping.set()
        for channel in self._own.values():
            channel.close()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.wait(health_checks.INTERVAL) and self._owner() is not None:
            try:
                self._check()
            except Exception as error:  # noqa: BLE001  (a server that is down would stay so for good)
                _log.warning(*health_checks.not_checked(error))

    def _check(self) -> None:
        asked = {url: self._ask(url) for url in self._endpoints.due(time.monotonic())}
        for url, answer in asked.items():
            self._note(url, answer)

    def _ask(self, url: str) -> grpc.Future[bytes] | None:
        try:
            return (
                self._own[url]
                .method(health_checks.METHOD)
                .future(b"", timeout=health_checks.PATIENCE, metadata=self._metadata)
            )
        except ValueError:  # closed in the meantime
            return None

    def _note(self, url: str, answer: grpc.Future[bytes] | None) -> None:
        judged = health_checks.judge(given_up() if answer is None else _outcome(answer))
        if not self._stopping.is_set() and self._endpoints.checked(url, judged, time.monotonic()):
            self._channels[url].reset()


def _failure(error: grpc.RpcError) -> CallFailed:
    return CallFailed(error.code().name, error.details() or "")


def _outcome(answer: grpc.Future[bytes]) -> bytes | CallFailed:
    try:
        return answer.result()
    except grpc.RpcError as error:
        return _failure(error)
    except grpc.FutureCancelledError:
        return given_up()
