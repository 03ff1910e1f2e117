"""Compute the server's share of the time of a query from its statistics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from camserve.clients.answers.classification import Timings
from camserve.clients.wire.values import Reply, Statistics

__all__ = ["with_server_share"]


def with_server_share(
    timings: Timings, replies: Sequence[Reply], before: Mapping[str, Statistics], after: Mapping[str, Statistics]
) -> Timings:
    """Add the times of the server; return `timings` unchanged if a server counted no request in between.

    Args:
        timings: The times that the client measured.
        replies: The replies to the parts of the query.
        before: Statistics before the query, by server.
        after: Statistics after the query, by server.
    """
    queue, compute = 0.0, 0.0
    for reply in replies:
        seconds = _seconds_per_request(before.get(reply.url), after.get(reply.url))
        if seconds is None:
            return timings
        queue, compute = queue + seconds[0], compute + seconds[1]
    return replace(timings, queue=queue, compute=compute, network=max(0.0, timings.call - queue - compute))


def _seconds_per_request(before: Statistics | None, after: Statistics | None) -> tuple[float, float] | None:
    """Return the mean seconds per request in the queue and in computation."""
    if before is None or after is None or after.requests <= before.requests:
        return None
    requests = after.requests - before.requests
    return (after.queue - before.queue) / requests, (after.compute - before.compute) / requests
