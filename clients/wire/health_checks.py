"""Health checks of servers: the call, its interval, and the meaning of the reply."""

from __future__ import annotations

from enum import Enum

from google.protobuf.message import DecodeError
from tritonclient.grpc import service_pb2

from camserve.clients.steps import Call, Metadata
from camserve.clients.wire.failures import CallFailed, is_restricted
from camserve.text import printable

__all__ = ["INTERVAL", "TIMEOUT", "Health", "check", "error_message", "judge"]

INTERVAL = 1.0
"""Seconds between two rounds of checks."""

_METHOD = "ServerReady"
TIMEOUT = 1.0
"""Timeout of a check, in seconds."""


class Health(Enum):
    """The result of a check."""

    READY = "ready"
    NOT_READY = "reports that it is not ready"
    UNREACHABLE = "no connection"
    TIMED_OUT = "no reply in time, so it may hang"


def check(url: str, metadata: Metadata) -> Call:
    """Return the call that checks a server."""
    return Call(url, _METHOD, b"", metadata, TIMEOUT)


def judge(reply: bytes | CallFailed) -> Health:
    """Return the health of a server, from its reply or the failure of the call."""
    if isinstance(reply, CallFailed):
        if reply.status == "DEADLINE_EXCEEDED":
            return Health.TIMED_OUT
        # A server that restricts the health check to others is running.
        return Health.READY if is_restricted(reply) else Health.UNREACHABLE
    try:
        ready = service_pb2.ServerReadyResponse.FromString(reply).ready
    except DecodeError:
        return Health.NOT_READY
    return Health.READY if ready else Health.NOT_READY


def error_message(error: Exception) -> tuple[str, str]:
    """Return what to log if a round of checks fails on this host, for example because no thread can be started."""
    return "health check of the servers failed: %s", printable(repr(error))
