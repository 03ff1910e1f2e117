"""Health checks of servers: what is asked, how often, and what the answer means."""

from __future__ import annotations

from enum import Enum

from google.protobuf.message import DecodeError
from tritonclient.grpc import service_pb2

from camserve.clients.wire.failures import CallFailed, is_restricted
from camserve.text import printable

__all__ = ["INTERVAL", "METHOD", "PATIENCE", "Health", "judge", "not_checked"]

METHOD = "ServerReady"
INTERVAL = 1.0
"""Seconds between two rounds of checks."""

PATIENCE = 1.0
"""Seconds in which a server must answer."""


class Health(Enum):
    """What a check found."""

    SERVING = "serving"
    NOT_SERVING = "it says that it is not ready"
    UNREACHABLE = "there is no connection"
    SILENT = "no answer came in time, which is how one looks that hangs"


def judge(answer: bytes | CallFailed) -> Health:
    """What an answer, or the lack of one, says of a server."""
    if isinstance(answer, CallFailed):
        if answer.status == "DEADLINE_EXCEEDED":
            return Health.SILENT
        # One that lets only some ask lives.
        return Health.SERVING if is_restricted(answer) else Health.UNREACHABLE
    try:
        ready = service_pb2.ServerReadyResponse.FromString(answer).ready
    except DecodeError:
        return Health.NOT_SERVING
    return Health.SERVING if ready else Health.NOT_SERVING


def not_checked(error: Exception) -> tuple[str, str]:
    """What to log of a round of checks that failed for a reason of this side, such as no room for a thread."""
    return "the health of the servers was not checked: %s", printable(repr(error))
