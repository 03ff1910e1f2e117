"""The calls of which an exchange consists: what a transport is to do, and is to send in or throw in."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import NamedTuple, TypeVar

from google.protobuf.message import DecodeError

from camserve.clients.wire.connection_options import Deadline
from camserve.clients.wire.failures import CallFailed
from camserve.clients.wire.redaction import redact

__all__ = ["Call", "Metadata", "Server", "Steps", "Wait", "parsed"]

T = TypeVar("T")
Metadata = tuple[tuple[str, str], ...]


class Call(NamedTuple):
    """Send a message to a server; the bytes of its answer are sent in, or a `CallFailed` is thrown in.

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
    """Let some seconds pass; anything may be sent in."""

    seconds: float


Steps = Generator[Call | Wait, bytes, T]


class Server(NamedTuple):
    """A server that is asked, for the length of one try.

    Attributes:
        url: The server.
        metadata: Headers of whatever is sent to it.
        deadline: Within which all must be answered.
    """

    url: str
    metadata: Metadata
    deadline: Deadline

    def call(self, method: str, message: bytes) -> Steps[bytes]:
        """Asks it and returns the bytes of its answer."""
        try:
            return (yield Call(self.url, method, message, self.metadata, self.deadline.remaining()))
        except CallFailed as failed:
            raise CallFailed(failed.status, redact(failed.why, self.metadata)) from None


def parsed(read: Callable[[bytes], T], answer: bytes) -> T:
    """What an answer says.

    Raises:
        CallFailed: If it is not in Triton's protocol.
    """
    try:
        return read(answer)
    except DecodeError as error:
        raise CallFailed("UNIMPLEMENTED", "its answer is no message of Triton's") from error
