"""The transport of threads: carries out the steps of an exchange by blocking calls."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import TypeVar

import grpc

from camserve.clients.observing.monitor import Monitor
from camserve.clients.wire.calls import Call, Steps, Wait
from camserve.clients.wire.channel_settings import dialler
from camserve.clients.wire.channels import Channel, HealthCheck
from camserve.clients.wire.connection_options import ConnectionOptions, Deadline, check_secrecy
from camserve.clients.wire.endpoints import Endpoints
from camserve.clients.wire.exchange import Exchange
from camserve.clients.wire.failures import CallFailed, closed
from camserve.clients.wire.messages import Reply, Request, ServedModel, Statistics

__all__ = ["Transport"]

T = TypeVar("T")


class Transport:
    """The servers of one client. May be used from several threads; a process that is forked makes one of its own.

    Args:
        urls: Addresses of the servers, which serve the same models.
        options: How they are called.
        monitor: Who is told what happens.

    Raises:
        UsageError: If a file of `options.tls` cannot be read, or a token would go out in plain text.
    """

    def __init__(self, urls: Sequence[str], options: ConnectionOptions, monitor: Monitor) -> None:
        self.urls = tuple(urls)
        check_secrecy(self.urls, options)
        endpoints = Endpoints(self.urls)
        self._exchange = Exchange(self.urls, options, monitor, endpoints)
        self._closing = threading.Event()
        self._lock = threading.Lock()
        dial = dialler(options, grpc.insecure_channel, grpc.secure_channel)
        self._channels = {url: Channel(url, dial) for url in self.urls}
        several = len(self.urls) > 1
        self._health_check = HealthCheck(self, self._channels, endpoints, dial, options.metadata) if several else None

    def describe(self, model: str, version: str = "", *, url: str | None = None, deadline: Deadline) -> ServedModel:
        """Asks what a model expects, what it answers and with which parameters it was published.

        Args:
            model: The model.
            version: Its version; the newest that is served where it is empty.
            url: The server to ask; any of them unless given.
            deadline: Within which the answer must come.

        Raises:
            ConnectionFailedError: If no server answers there.
            DeadlineError: If the answer does not come in time.
            RequestError: If the model is not loaded.
            UsageError: If the transport is closed.
        """
        return self._run(self._exchange.describe(model, version, url, deadline))

    def is_ready(self, model: str, version: str = "", *, deadline: Deadline) -> bool:
        """Whether a server says that it serves the model.

        Raises:
            ConnectionFailedError: If no server answers.
            DeadlineError: If the answer does not come in time.
            UsageError: If the transport is closed.
        """
        return self._run(self._exchange.is_ready(model, version, deadline))

    def statistics(self, model: str, version: str, *, url: str, deadline: Deadline) -> Statistics:
        """What a server has spent on a version of a model so far.

        Raises:
            ConnectionFailedError: If the server does not answer.
            DeadlineError: If the answer does not come in time.
            RequestError: If the server does not say.
            UsageError: If the transport is closed.
        """
        return self._run(self._exchange.statistics(model, version, url, deadline))

    def infer(self, request: Request, *, url: str | None = None, deadline: Deadline) -> Reply:
        """Sends a batch and returns what came.

        Args:
            request: The batch.
            url: The server to ask; any of them unless given.
            deadline: Within which the answer must come.

        Raises:
            ConnectionFailedError: If no server answers.
            DeadlineError: If the answer does not come in time.
            RequestError: If the server refuses the request or fails at it.
            UsageError: If the transport is closed.
        """
        return self._run(self._exchange.infer(request, url, deadline))

    def close(self) -> None:
        """Closes every connection and ends the calls under way; closing twice changes nothing."""
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

    def _send_closing_calls(self, url: str, channel: Channel) -> None:
        calls = self._exchange.closing_calls(url)
        if calls:
            channel.reset()  # whatever is under way ends first
        with suppress(CallFailed):
            for call in calls:
                channel.call(call)

    def _run(self, steps: Steps[T]) -> T:
        try:
            step = next(steps)
            while True:
                try:
                    answer = self._take(step)
                except BaseException as error:  # noqa: BLE001  (cancellation and Ctrl-C, too, are the steps' to note)
                    step = steps.throw(error)
                else:
                    step = steps.send(answer)
        except StopIteration as end:
            found: T = end.value
            return found

    def _take(self, step: Call | Wait) -> bytes:
        if self._closing.is_set():
            raise closed(self.urls)
        if isinstance(step, Wait):
            self._closing.wait(step.seconds)
            return b""
        try:
            return self._channels[step.url].call(step)
        except CallFailed:
            if self._closing.is_set():
                raise closed(self.urls) from None
            raise
