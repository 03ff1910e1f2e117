"""The connections of one client, as threads and asyncio share them: only the waiting differs."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from contextlib import suppress

import grpc

from camserve.clients.observing.monitor import Monitor
from camserve.clients.steps import Call
from camserve.clients.wire.callers import Mixed
from camserve.clients.wire.channel_settings import dialler
from camserve.clients.wire.channels import Channel, HealthCheck
from camserve.clients.wire.connection_options import ConnectionOptions, check_token_protected
from camserve.clients.wire.endpoints import Endpoints
from camserve.clients.wire.exchange import Exchange
from camserve.clients.wire.failures import CallFailed, closed
from camserve.clients.wire.pending import PendingCall, finish_before_exit, line_to
from camserve.clients.wire.shared_memory import is_in_use
from camserve.errors import CamserveError, UsageError

__all__ = ["Connections"]

_LAST_USE_SECONDS = 0.5
_PAUSE_SECONDS = 0.01


class Connections:
    """A channel to each server. May be used from several threads.

    Args:
        urls: Addresses of the servers, which serve the same models.
        options: How to connect to them.
        monitor: Logs, traces and counts the requests.

    Raises:
        UsageError: If a file of `options.tls` cannot be read, or a token would be sent unencrypted.
    """

    def __init__(self, urls: Sequence[str], options: ConnectionOptions, monitor: Monitor) -> None:
        self._urls = tuple(urls)
        check_token_protected(self._urls, options)
        endpoints = Endpoints(self._urls)
        self.exchange = Exchange(self._urls, options, monitor, endpoints)
        self.closing = threading.Event()
        self._lock = threading.Lock()
        dial = dialler(options, grpc.insecure_channel, grpc.secure_channel)
        self._channels = {url: Channel(url, dial, Mixed(), line_to(url)) for url in self._urls}
        several = len(self._urls) > 1
        self._health_check = HealthCheck(self, self._channels, endpoints, dial, options.metadata) if several else None

    def begin(self, call: Call) -> PendingCall:
        """Begin a call.

        Raises:
            UsageError: If the connections are closed.
        """
        if self.closing.is_set() and call.ended is not None:
            call.ended()
        self.check_open()
        return self._channels[call.url].begin(call)

    def check_open(self) -> None:
        """Check that the connections are not closed.

        Raises:
            UsageError: If they are.
        """
        if self.closing.is_set():
            raise closed(self._urls)

    def error(self, failed: CallFailed) -> CallFailed | UsageError:
        """Return the error to raise for a call that failed: it may have failed because the connections were closed."""
        return closed(self._urls) if self.closing.is_set() else failed

    def close(self) -> None:
        """Abandon every call, and close each connection once its last call has ended, without waiting for it.

        Closing twice has no effect.
        """
        with self._lock:
            if self.closing.is_set():
                return
            self.closing.set()
        if self._health_check is not None:
            self._health_check.stop()
        for channel in self._channels.values():
            channel.abandon_calls()
        if not self.exchange.shares_memory or all(channel.is_idle for channel in self._channels.values()):
            self._finish()
        else:
            self._finish_later()

    def _finish_later(self) -> None:
        """Close the connections in a thread: the server reads shared memory until its calls have ended."""

        def finish() -> None:
            with finish_before_exit(self):
                self._finish()

        try:
            threading.Thread(target=finish, name="camserve-closing", daemon=True).start()
        except RuntimeError:  # no thread can be started: the next client unregisters the memory
            for channel in self._channels.values():
                channel.close()

    def _finish(self) -> None:
        for url, channel in self._channels.items():
            if self.exchange.shares_memory:
                channel.wait_until_idle()
            with suppress(CallFailed, CamserveError):
                for call in self.exchange.closing_calls(url):
                    _unregister(channel, call)
            channel.close()
        self.exchange.close()


def _unregister(channel: Channel, call: Call) -> None:
    """Unregister a segment, which Triton may use for a moment after its reply."""
    end = time.monotonic() + _LAST_USE_SECONDS
    while True:
        try:
            channel.begin(call).wait(call.seconds)
        except CallFailed as failed:
            if not is_in_use(failed.why) or time.monotonic() > end:
                raise
            time.sleep(_PAUSE_SECONDS)
        else:
            return
