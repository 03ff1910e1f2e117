"""A call from beginning to end, over all its tries: generators that yield steps, and are sent what came of them.

Nothing here touches a socket or sleeps, so that the transports of threads and of asyncio share all of it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from camserve.clients.observing.monitor import Monitor, Observed
from camserve.clients.wire import queries
from camserve.clients.wire.attempts import Attempts
from camserve.clients.wire.calls import Call, Server, Steps, Wait, parsed
from camserve.clients.wire.connection_options import ConnectionOptions, Deadline
from camserve.clients.wire.endpoints import Endpoints
from camserve.clients.wire.failures import CallFailed, Subject, diagnose
from camserve.clients.wire.messages import Reply, Request, ServedModel, Statistics, encode_request, read_reply
from camserve.clients.wire.sharing import Sharing

__all__ = ["Exchange"]

T = TypeVar("T")


class Exchange:
    """What is said to the servers of one client.

    Args:
        urls: The servers.
        options: How they are called.
        monitor: Who is told of it.
        endpoints: What is known of each server.

    Raises:
        UsageError: If shared memory was asked for and this host has none.
    """

    def __init__(self, urls: Sequence[str], options: ConnectionOptions, monitor: Monitor, endpoints: Endpoints) -> None:
        self._urls = urls
        self._options = options
        self._metadata = options.metadata
        self._monitor = monitor
        self._endpoints = endpoints
        self._sharing = Sharing() if options.shared_memory else None
        self._reached = False

    def infer(self, request: Request, url: str | None, deadline: Deadline) -> Steps[Reply]:
        """Sends a batch."""
        began = time.monotonic()
        subject = self._subject("infer", request.model, request.version, deadline)
        sharing = self._sharing
        message = b"" if sharing else encode_request(request)

        def question(server: Server, observed: Observed, tries: int) -> Steps[Reply]:
            answer = yield from (sharing.send(server, request) if sharing else server.call("ModelInfer", message))
            version, tensors = parsed(read_reply, answer)
            observed.answered(server.url, version, len(answer), tries)
            return Reply(version, server.url, tensors, time.monotonic() - began, tries, len(answer))

        return (yield from self._tried(subject, question, self._only(url)))

    def describe(self, model: str, version: str, url: str | None, deadline: Deadline) -> Steps[ServedModel]:
        """Asks what a model expects and answers."""
        subject = self._subject("describe", model, version, deadline)
        return (yield from self._told(subject, queries.described, self._only(url)))

    def is_ready(self, model: str, version: str, deadline: Deadline) -> Steps[bool]:
        """Asks whether a model is served."""
        subject = self._subject("ready", model, version, deadline)
        return (yield from self._told(subject, queries.is_ready, self._urls))

    def statistics(self, model: str, version: str, url: str, deadline: Deadline) -> Steps[Statistics]:
        """Asks what a server has spent on a model."""
        subject = self._subject("statistics", model, version, deadline)
        return (yield from self._told(subject, queries.statistics, self._only(url)))

    def closing_calls(self, url: str) -> Sequence[Call]:
        """What to tell a server before the connection is closed; how it answers does not matter."""
        return self._sharing.closing_calls(url, self._metadata) if self._sharing else ()

    def close(self) -> None:
        """Frees what the calls shared."""
        if self._sharing is not None:
            self._sharing.close()

    def _told(self, subject: Subject, ask: Callable[[Server, str, str], Steps[T]], urls: Sequence[str]) -> Steps[T]:
        """The answer to a question about a model."""

        def question(server: Server, observed: Observed, tries: int) -> Steps[T]:
            value = yield from ask(server, subject.model, subject.version)
            observed.answered(server.url, subject.version, 0, tries)
            return value

        return (yield from self._tried(subject, question, urls))

    def _tried(
        self, subject: Subject, question: Callable[[Server, Observed, int], Steps[T]], urls: Sequence[str]
    ) -> Steps[T]:
        """The answer to a question, from the first server that gives one."""
        # Until a server has answered at all, its address may be wrong, which is told at once.
        tries = Attempts(urls, self._options.retries, patient=self._reached or subject.is_request)
        with self._monitor.request(subject.model, subject.method) as observed:
            metadata = (*self._metadata, *observed.headers)
            while True:
                url = self._endpoints.take(urls, tries.avoid)
                try:
                    server = Server(url, metadata, _share(subject, len(urls) - len(tries.avoid)))
                    value = yield from question(server, observed, tries.count + 1)
                except CallFailed as failed:
                    wait = self._after(failed, url, tries, subject, observed)
                else:
                    self._reached = True
                    self._endpoints.answered(url)
                    return value
                finally:
                    self._endpoints.ended(url)
                if wait:
                    yield Wait(wait)

    def _after(self, failed: CallFailed, url: str, tries: Attempts, subject: Subject, observed: Observed) -> float:
        """Seconds until the next try; raises where there is none."""
        failure = diagnose(failed, subject, url)
        if failure.is_lost:
            self._endpoints.failed(url, time.monotonic())
        wait = tries.failed(url, failure.again, subject.deadline.remaining())
        observed.tried(url, failure.error, wait)
        if wait is None:
            raise failure.told_after(tries.count) from failed
        return wait

    def _subject(self, method: str, model: str, version: str, deadline: Deadline) -> Subject:
        return Subject(method, model, version, deadline, encrypted=self._options.tls is not None)

    def _only(self, url: str | None) -> Sequence[str]:
        return self._urls if url is None else (url,)


def _share(subject: Subject, servers: int) -> Deadline:
    """The deadline of one try, of so many servers that have not been asked yet.

    A request may take its whole time wherever it is. A question about the model is answered at once, or by a server
    that hangs never: it leaves time to ask the others.
    """
    remaining = subject.deadline.remaining()  # once: the next look at the clock may find nothing left to share
    if subject.is_request or servers <= 1 or not remaining:
        return subject.deadline
    return Deadline.after(remaining / servers)
