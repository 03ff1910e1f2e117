"""Requests to the servers of a client, with their retries, as steps.

Nothing here uses a socket or sleeps, so that the transports of threads and of asyncio share it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from camserve.clients.observing.monitor import Monitor, Observation
from camserve.clients.steps import Call, Steps, Wait
from camserve.clients.wire.attempts import Attempts
from camserve.clients.wire.connection_options import ConnectionOptions, Deadline
from camserve.clients.wire.endpoints import Endpoints
from camserve.clients.wire.failures import CallFailed, Failure, Operation, diagnose, is_not_loaded
from camserve.clients.wire.messages import encode_request, read_reply
from camserve.clients.wire.queries import Server, parse
from camserve.clients.wire.sharing import open_sharing
from camserve.clients.wire.values import Reply, Request, ServedModel, Statistics
from camserve.errors import ImageError

__all__ = ["Exchange"]

_HINT = "; hint: "  # as in camserve.serving.backends.image_files.model, which runs inside Triton
T = TypeVar("T")


class Exchange:
    """The requests of one transport.

    Every request raises `ConnectionFailedError` if no server responds, `DeadlineError` at its deadline, `RequestError`
    if the server refuses it, and `UsageError` if the transport is closed. Without `url`, it may use any server.

    Args:
        urls: The servers.
        options: How to connect to them.
        monitor: Logs, traces and counts the requests.
        endpoints: The state of each server.

    Raises:
        UsageError: If the options request shared memory and this host has none.
    """

    def __init__(self, urls: Sequence[str], options: ConnectionOptions, monitor: Monitor, endpoints: Endpoints) -> None:
        self._urls = urls
        self._options = options
        self._metadata = options.metadata
        self._monitor = monitor
        self._endpoints = endpoints
        self._sharing = open_sharing(urls, options.shared_memory)
        self._reached = False

    @property
    def shares_memory(self) -> bool:
        """Whether servers read memory of this process."""
        return self._sharing is not None

    def infer(self, request: Request, *, url: str | None = None, deadline: Deadline) -> Steps[Reply]:
        """Send a batch and return the reply."""
        began = time.monotonic()
        sharing = self._sharing
        message = b"" if sharing else encode_request(request)

        def send(server: Server) -> Steps[Reply]:
            reply = yield from (sharing.send(server, request) if sharing else server.call("ModelInfer", message))
            version, tensors = parse(lambda message: read_reply(message, request), reply)
            return Reply(version, server.url, tensors, time.monotonic() - began, server.attempt, len(reply))

        return self._retry(self._operation("infer", request.model, request.version, deadline), send, url)

    def infer_file(self, request: Request, *, deadline: Deadline) -> Steps[Reply]:
        """Send an image file to the model that decodes it.

        Raises:
            ImageError: If that model refuses the file, with the message and hint of a client that decodes it.
            ClientError: As for `infer`.
        """
        began = time.monotonic()
        message = encode_request(request)

        def send(server: Server) -> Steps[Reply]:
            try:
                reply = yield from server.call("ModelInfer", message)
            except CallFailed as failed:
                if failed.status != "INVALID_ARGUMENT" or is_not_loaded(failed):
                    raise
                why, _, hint = failed.why.partition(_HINT)
                raise ImageError(why, hint=hint or None) from None
            version, tensors = parse(lambda message: read_reply(message, request), reply)
            return Reply(version, server.url, tensors, time.monotonic() - began, server.attempt, len(reply))

        return self._retry(self._operation("infer", request.model, request.version, deadline), send)

    def describe(
        self, model: str, version: str = "", *, url: str | None = None, deadline: Deadline
    ) -> Steps[ServedModel]:
        """Query tensors and parameters of a model."""
        operation = self._operation("describe", model, version, deadline)
        return self._retry(operation, lambda server: server.describe(model, version), url)

    def versions_of(self, model: str, *, deadline: Deadline) -> Steps[list[str]]:
        """Query the versions of a model that a server serves."""
        return self._retry(self._operation("versions", model, "", deadline), lambda server: server.versions(model))

    def is_ready(self, model: str, version: str = "", *, deadline: Deadline) -> Steps[bool]:
        """Query whether a server serves a model."""
        operation = self._operation("ready", model, version, deadline)
        return self._retry(operation, lambda server: server.is_ready(model, version))

    def ready_models(self, model: str, *, deadline: Deadline) -> Steps[tuple[str, dict[str, list[str]]]]:
        """Query a server for what it serves instead of a model that it does not: its URL, and versions by model."""

        def send(server: Server) -> Steps[tuple[str, dict[str, list[str]]]]:
            return server.url, (yield from server.ready_models())

        return self._retry(self._operation("index", model, "", deadline), send)

    def statistics(self, model: str, version: str, *, url: str, deadline: Deadline) -> Steps[Statistics]:
        """Query the time that a server has spent on a model."""
        operation = self._operation("statistics", model, version, deadline)
        return self._retry(operation, lambda server: server.statistics(model, version), url)

    def closing_calls(self, url: str) -> Sequence[Call]:
        """Return the calls to make before the connection is closed; their outcome does not matter."""
        return self._sharing.closing_calls(url, self._metadata) if self._sharing else ()

    def close(self) -> None:
        """Free the shared memory."""
        if self._sharing is not None:
            self._sharing.close()

    def _retry(self, operation: Operation, send: Callable[[Server], Steps[T]], url: str | None = None) -> Steps[T]:
        """Send a request until a server replies or no attempt is left."""
        urls = self._urls if url is None else (url,)
        # Until the first reply of all, the address may be wrong: fail at once.
        attempts = Attempts(urls, self._options.retries, patient=self._reached or operation.is_inference)
        with self._monitor.observe(operation.model, operation.method) as observation:
            metadata = (*self._metadata, *observation.headers)
            while True:
                avoid = attempts.avoid
                chosen = self._endpoints.take(urls, avoid)
                try:
                    deadline = _deadline_of_attempt(operation, len(urls) - len(avoid))
                    value = yield from send(Server(chosen, metadata, deadline, attempts.count + 1))
                except CallFailed as failed:
                    failure = diagnose(failed, operation, chosen)
                else:
                    self._reached = True
                    self._endpoints.record_reply(chosen)
                    version, size = (value.version, value.size) if isinstance(value, Reply) else (operation.version, 0)
                    observation.record_reply(chosen, version, size, attempts.count + 1)
                    return value
                finally:
                    self._endpoints.release(chosen)
                # Outside of the `except` clause, so that the error has no context.
                wait = self._record_failure(failure, chosen, attempts, operation, observation)
                if wait:
                    yield from Wait(wait)

    def _record_failure(
        self, failure: Failure, url: str, attempts: Attempts, operation: Operation, observation: Observation
    ) -> float:
        """Return the seconds until the next attempt; raise the error if there is none."""
        if failure.is_lost:
            self._endpoints.record_failure(url, time.monotonic())
        wait = attempts.record_failure(
            url, failure.retry, operation.deadline.remaining(), unreachable=failure.unreachable
        )
        observation.record_failure(url, failure.error, wait)
        if wait is None:
            raise failure.after(attempts.count)
        return wait

    def _operation(self, method: str, model: str, version: str, deadline: Deadline) -> Operation:
        return Operation(method, model, version, deadline, encrypted=self._options.tls is not None)


def _deadline_of_attempt(operation: Operation, servers: int) -> Deadline:
    """Return the deadline of one attempt while so many servers are left.

    An inference may take all of the time at any server. A query about the model is answered quickly or, by a server
    that hangs, never: it leaves time for the other servers.
    """
    remaining = operation.deadline.remaining()  # read once: later it may be 0
    if operation.is_inference or servers <= 1 or not remaining:
        return operation.deadline
    return Deadline(remaining / servers)
