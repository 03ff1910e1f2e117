"""The transport of threads: carries out the steps of an exchange by blocking calls."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import TypeVar

from camserve.clients.observing.monitor import Monitor
from camserve.clients.wire.endpoints import Endpoints
from camserve.clients.wire.exchange import Exchange
from camserve.clients.wire.failures import CallFailed, closed
from camserve.clients.wire.lines import Line, Watch, dialler
from camserve.clients.wire.messages import Reply, Request, ServedModel, Statistics
from camserve.clients.wire.options import ConnectionOptions, Deadline, check_secrecy
from camserve.clients.wire.steps import Call, Steps, Wait

__all__ = ["Transport"]

T = TypeVar("T")


class Transport:
    """The servers of one client. May be used from several threads.

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
        dial = dialler(options)
        self._lines = {url: Line(url, dial) for url in self.urls}
        several = len(self.urls) > 1
        self._watch = Watch(self._lines, endpoints, dial, options.metadata) if several else None

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
        if self._watch is not None:
            self._watch.stop()
        for url, line in self._lines.items():
            self._say_farewell(url, line)
            line.close()
        self._exchange.close()

    def _say_farewell(self, url: str, line: Line) -> None:
        calls = self._exchange.farewell(url)
        if calls:
            line.give_up()  # whatever is under way ends first
        with suppress(CallFailed):
            for call in calls:
                line.call(call)

    def _run(self, steps: Steps[T]) -> T:
        try:
            step = next(steps)
            while True:
                try:
                    answer = self._take(step)
                except CallFailed as failed:
                    step = steps.throw(failed)
                else:
                    step = steps.send(answer)
        except StopIteration as end:
            found: T = end.value
            return found
        finally:
            steps.close()  # an interrupt, too, ends what the steps hold

    def _take(self, step: Call | Wait) -> bytes:
        if self._closing.is_set():
            raise closed(self.urls)
        if isinstance(step, Wait):
            self._closing.wait(step.seconds)
            return b""
        try:
            return self._lines[step.url].call(step)
        except CallFailed:
            if self._closing.is_set():
                raise closed(self.urls) from None
            raise
