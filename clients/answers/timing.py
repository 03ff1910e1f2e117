"""The server's share of the time that a question took, from what it counts for the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from camserve.clients.answers.classification import Timings
from camserve.clients.wire.messages import Reply, Statistics

__all__ = ["with_server_share"]


def with_server_share(
    timings: Timings, replies: Sequence[Reply], before: Mapping[str, Statistics], after: Mapping[str, Statistics]
) -> Timings:
    """The times with those of the server; without, where it counted no request in between.

    Args:
        timings: What the client measured.
        replies: The replies to the parts of the question.
        before: By server, what it had counted before the question.
        after: And after it.
    """
    queue, compute = 0.0, 0.0
    for reply in replies:
        spent = _spent(before.get(reply.url), after.get(reply.url))
        if spent is None:
            return timings
        queue, compute = queue + spent[0], compute + spent[1]
    return replace(timings, queue=queue, compute=compute, network=max(0.0, timings.call - queue - compute))


def _spent(before: Statistics | None, after: Statistics | None) -> tuple[float, float] | None:
    """Seconds in the queue and at work, a request."""
    if before is None or after is None or after.requests <= before.requests:
        return None
    requests = after.requests - before.requests
    return (after.queue - before.queue) / requests, (after.compute - before.compute) / requests
