"""What a server's answer to the question for its health means, and how often it is asked."""

from __future__ import annotations

from google.protobuf.message import DecodeError
from tritonclient.grpc import service_pb2

from camserve.clients.wire.failures import CallFailed, is_restricted

__all__ = ["INTERVAL", "METHOD", "PATIENCE", "judge"]

METHOD = "ServerReady"
INTERVAL = 1.0
"""Seconds between two rounds of questions."""

PATIENCE = 1.0
"""Seconds in which a server must answer."""


def judge(answer: bytes | CallFailed) -> bool | None:
    """Whether a server is ready; None if it gave no answer in time, which is how one looks that hangs."""
    if isinstance(answer, CallFailed):
        # One that lets only some ask lives.
        return None if answer.status == "DEADLINE_EXCEEDED" else is_restricted(answer)
    try:
        return bool(service_pb2.ServerReadyResponse.FromString(answer).ready)
    except DecodeError:
        return False
