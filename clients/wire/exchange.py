"""What is said to servers and in which order: generators that yield calls and waits, and are sent answers.

Nothing here touches a socket or sleeps, so that the transports of threads and of asyncio share all of it. A transport
carries out each step and sends in the bytes of the answer, or throws in a `CallFailed`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

from google.protobuf.message import DecodeError
from tritonclient.grpc import service_pb2

from camserve.clients.observing.monitor import Monitor, Observed
from camserve.clients.wire.endpoints import Endpoints
from camserve.clients.wire.failures import CallFailed, Subject, diagnose, is_not_loaded
from camserve.clients.wire.messages import (
    Array,
    Reply,
    Request,
    ServedModel,
    Statistics,
    encode_request,
    newest,
    read_model,
    read_reply,
    read_statistics,
)
from camserve.clients.wire.options import ConnectionOptions, Deadline
from camserve.clients.wire.tries import Tries

__all__ = ["Call", "Exchange", "Steps", "Wait"]

T = TypeVar("T")
Metadata = tuple[tuple[str, str], ...]

_SWAPS_FOLLOWED = 3


class Call(NamedTuple):
    """Send a message to a server and wait for the answer.

    Attributes:
        url: The server.
        method: Name of the method in Triton's service.
        message: The request's bytes.
        metadata: The request's headers.
        seconds: How long to wait.
    """

    url: str
    method: str
    message: bytes
    metadata: Metadata
    seconds: float


class Wait(NamedTuple):
    """Let some seconds pass."""

    seconds: float


Steps = Generator["Call | Wait", bytes, T]


@dataclass(frozen=True)
class _Answer(Generic[T]):
    value: T
    version: str = ""
    received: int = 0


@dataclass(frozen=True)
class _Line:
    """One server, for the length of a try."""

    url: str
    metadata: Metadata
    deadline: Deadline

    def ask(self, method: str, message: bytes) -> Steps[bytes]:
        return (yield Call(self.url, method, message, self.metadata, self.deadline.remaining()))


_Question = Callable[[_Line], Steps[_Answer[T]]]


class Exchange:
    """What is said to the servers of one client.

    Args:
        urls: The servers.
        options: How they are called.
        monitor: Who is told of it.
        endpoints: What is known of each server.
    """

    def __init__(self, urls: Sequence[str], options: ConnectionOptions, monitor: Monitor, endpoints: Endpoints) -> None:
        self._urls = urls
        self._options = options
        self._metadata = options.metadata
        self._monitor = monitor
        self._endpoints = endpoints
        self._reached = False

    def infer(self, request: Request, deadline: Deadline) -> Steps[Reply]:
        """Sends a batch."""
        began = time.monotonic()
        message = encode_request(request)

        def question(line: _Line) -> Steps[_Answer[dict[str, Array]]]:
            answer = yield from line.ask("ModelInfer", message)
            version, tensors = _parsed(read_reply, answer)
            return _Answer(tensors, version, len(answer))

        answer, url, tries = yield from self._tried("infer", request.model, request.version, deadline, question)
        seconds = time.monotonic() - began
        return Reply(answer.version, url, answer.value, seconds, tries, answer.received)

    def describe(self, model: str, version: str, url: str | None, deadline: Deadline) -> Steps[ServedModel]:
        """Asks what a model expects and answers."""

        def question(line: _Line) -> Steps[_Answer[ServedModel]]:
            served = yield from _described(line, model, version)
            return _Answer(served, served.version)

        answer, _, _ = yield from self._tried("describe", model, version, deadline, question, url=url)
        return answer.value

    def is_ready(self, model: str, version: str, deadline: Deadline) -> Steps[bool]:
        """Asks whether a model is served."""

        def question(line: _Line) -> Steps[_Answer[bool]]:
            message = service_pb2.ModelReadyRequest(name=model, version=version)
            try:
                ready = yield from _said(line, "ModelReady", message)
            except CallFailed as failed:
                if is_not_loaded(failed):
                    return _Answer(value=False)
                raise
            return _Answer(bool(ready.ready))

        answer, _, _ = yield from self._tried("ready", model, version, deadline, question)
        return answer.value

    def statistics(self, model: str, version: str, url: str, deadline: Deadline) -> Steps[Statistics]:
        """Asks what a server has spent on a model."""

        def question(line: _Line) -> Steps[_Answer[Statistics]]:
            message = service_pb2.ModelStatisticsRequest(name=model, version=version)
            answer = yield from _said(line, "ModelStatistics", message)
            return _Answer(read_statistics(answer, version), version)

        answer, _, _ = yield from self._tried("statistics", model, version, deadline, question, url=url)
        return answer.value

    def _tried(
        self,
        method: str,
        model: str,
        version: str,
        deadline: Deadline,
        question: _Question[T],
        *,
        url: str | None = None,
    ) -> Steps[tuple[_Answer[T], str, int]]:
        """The answer to a question, who gave it, and at which try."""
        urls = self._urls if url is None else (url,)
        # Until a server has answered at all, its address may be wrong: that is told at once.
        tries = Tries(urls, self._options.retries, patient=self._reached or method == "infer")
        with self._monitor.request(model, method) as observed:
            metadata = (*self._metadata, *observed.headers)
            while True:
                at = self._endpoints.take(urls, tries.avoid)
                try:
                    answer = yield from question(_Line(at, metadata, deadline))
                except CallFailed as failed:
                    wait = self._after(failed, at, tries, self._subject(method, model, version, deadline), observed)
                else:
                    self._reached = True
                    self._endpoints.answered(at)
                    observed.answered(at, answer.version, answer.received, tries.count + 1)
                    return answer, at, tries.count + 1
                finally:
                    self._endpoints.ended(at)
                if wait:
                    yield Wait(wait)

    def _after(self, failed: CallFailed, url: str, tries: Tries, subject: Subject, observed: Observed) -> float:
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
        return Subject(
            model, version, encrypted=self._options.tls is not None, deadline=deadline, is_request=method == "infer"
        )


def _described(line: _Line, model: str, version: str) -> Steps[ServedModel]:
    """Tensors and parameters of one and the same version, also while versions change."""
    for last in (False,) * (_SWAPS_FOLLOWED - 1) + (True,):
        message = service_pb2.ModelMetadataRequest(name=model, version=version)
        metadata = yield from _said(line, "ModelMetadata", message)
        found = version or newest(metadata)
        try:
            if found != version:
                message = service_pb2.ModelMetadataRequest(name=model, version=found)
                metadata = yield from _said(line, "ModelMetadata", message)
            question = service_pb2.ModelConfigRequest(name=model, version=found)
            answer = yield from _said(line, "ModelConfig", question)
        except CallFailed as failed:
            if last or found == version or not is_not_loaded(failed):
                raise
        else:
            return read_model(model, found, metadata, answer.config)
    raise AssertionError("the last round returns or raises")


_ANSWERS = {
    "ModelReady": service_pb2.ModelReadyResponse,
    "ModelMetadata": service_pb2.ModelMetadataResponse,
    "ModelConfig": service_pb2.ModelConfigResponse,
    "ModelStatistics": service_pb2.ModelStatisticsResponse,
}


def _said(line: _Line, method: str, message: Any) -> Steps[Any]:
    return _parsed(_ANSWERS[method].FromString, (yield from line.ask(method, message.SerializeToString())))


def _parsed(read: Callable[[bytes], T], answer: bytes) -> T:
    try:
        return read(answer)
    except DecodeError as error:
        raise CallFailed("UNIMPLEMENTED", "its answer is no message of Triton's") from error
