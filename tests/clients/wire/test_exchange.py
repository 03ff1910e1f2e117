"""Requests with their retries, without a server or a transport."""

from __future__ import annotations

from typing import Any

import pytest

from camserve.clients.observing.monitor import Monitor
from camserve.clients.steps import Steps
from camserve.clients.wire.connection_options import ConnectionOptions, Deadline
from camserve.clients.wire.endpoints import Endpoints
from camserve.clients.wire.exchange import Exchange
from camserve.clients.wire.failures import CallFailed
from camserve.errors import DeadlineError

URLS = ("127.0.0.1:8001", "127.0.0.1:9001", "127.0.0.1:10001")


class RunningOut(Deadline):
    """A deadline that expires after so many reads of the clock."""

    __slots__ = ("_looks",)

    def __init__(self, looks: int) -> None:
        super().__init__(10.0)
        self._looks = looks

    def remaining(self) -> float:
        self._looks -= 1
        return 1.0 if self._looks >= 0 else 0.0


def unanswered(steps: Steps[Any]) -> None:
    """Run the steps with servers that never reply in time."""
    next(steps)
    while True:
        steps.throw(CallFailed("DEADLINE_EXCEEDED", "it took too long"))


@pytest.mark.parametrize("looks", range(8))
@pytest.mark.parametrize("question", ["describe", "is_ready"])
def test_deadline_at_any_moment_is_a_deadline_error(question: str, looks: int) -> None:
    exchange = Exchange(URLS, ConnectionOptions(), Monitor(), Endpoints(URLS))
    arguments = {"model": "toy", "version": "", "deadline": RunningOut(looks)}
    if question == "describe":
        arguments["url"] = None
    with pytest.raises(DeadlineError, match="did not respond within 10 s"):
        unanswered(getattr(exchange, question)(**arguments))
