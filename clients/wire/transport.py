"""The transport of threads: performs the steps of requests by blocking calls."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Concatenate, ParamSpec, TypeVar

import grpc

from camserve.clients.observing.monitor import Monitor
from camserve.clients.steps import Step, Steps, Wait, Work, run_steps
from camserve.clients.wire.channel_settings import dialler
from camserve.clients.wire.channels import Channel, HealthCheck
from camserve.clients.wire.connection_options import ConnectionOptions, check_token_protected
from camserve.clients.wire.endpoints import Endpoints
from camserve.clients.wire.exchange import Exchange
from camserve.clients.wire.failures import CallFailed, closed

__all__ = ["Transport"]

P = ParamSpec("P")
T = TypeVar("T")


class Transport:
    """Connections to the servers of one client. May be used from several threads, but a forked process needs its own.

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
        self._exchange = Exchange(self._urls, options, monitor, endpoints)
        self._closing = threading.Event()
        self._lock = threading.Lock()
        dial = dialler(options, grpc.insecure_channel, grpc.secure_channel)
        self._channels = {url: Channel(url, dial) for url in self._urls}
        several = len(self._urls) > 1
        self._health_check = HealthCheck(self, self._channels, endpoints, dial, options.metadata) if several else None

    def run(self, request: Callable[Concatenate[Exchange, P], Steps[T]], *args: P.args, **options: P.kwargs) -> T:
        """Run a request to its end.

        Args:
            request: Makes the steps, given the exchange of this transport: a method of `Exchange` itself, such as
                `Exchange.infer`, or a function that uses it.
            args: Further arguments of `request`.
            options: Its keyword arguments.
        """
        return run_steps(request(self._exchange, *args, **options), self._perform)

    def close(self) -> None:
        """Close every connection and end the pending calls; closing twice has no effect."""
        with self._lock:
            if self._closing.is_set():
                return
            self._closing.set()
        if self._health_check is not None:
            self._health_check.stop()
        for url, channel in self._channels.items():
            self._send_closing_calls(url, channel)
            channel.close()
        self._exchange.close()

    def _perform(self, step: Step) -> object:
        if isinstance(step, Work):
            return step.compute()
        if self._closing.is_set():
            raise closed(self._urls)
        if isinstance(step, Wait):
            return self._closing.wait(step.seconds)
        try:
            return self._channels[step.url].call(step)
        except CallFailed:
            if self._closing.is_set():
                raise closed(self._urls) from None
            raise

    def _send_closing_calls(self, url: str, channel: Channel) -> None:
        calls = self._exchange.closing_calls(url)
        if calls:
            channel.reset()  # ends the pending calls first
        with suppress(CallFailed):
            for call in calls:
                channel.call(call)
