"""Find what limits a run: reading, decoding, the network or the server."""

from __future__ import annotations

from camserve.clients.scoring.answerer import Answerer
from camserve.clients.scoring.served_answerer import ServedAnswerer
from camserve.clients.scoring.stage_times import StageTimes
from camserve.clients.wire.values import Statistics

__all__ = ["Bottleneck"]

_SERVER_SHARE = 0.5
"""Part of the wait for an answer from which on the server limits it, rather than the network."""


class Bottleneck:
    """Finds the stage in which most of the recent time passed.

    Args:
        answerer: What classifies the images; its server is queried for the time that it spends on the model.
    """

    def __init__(self, answerer: Answerer) -> None:
        self._statistics = answerer.statistics if isinstance(answerer, ServedAnswerer) else None
        self._counted: Statistics | None = None
        self._stages = StageTimes()
        self._found: str | None = None

    def find(self, stages: StageTimes) -> str | None:
        """Return what limited the run since the last call.

        Args:
            stages: The time of each stage since the start.

        Returns:
            `reading`, `decoding`, `inference` of a bundle, `server`, `network`, or `server or network` if the server
            does not report its share; None if it is not known yet.
        """
        counted, self._counted = self._counted, self._statistics() if self._statistics else None
        recent, self._stages = stages - self._stages, stages
        seconds = {"reading": recent.read, "decoding": recent.decode, "inference": recent.answer}
        if sum(seconds.values()) > 0:
            stage = max(seconds, key=lambda name: seconds[name])
            served = stage == "inference" and self._statistics is not None
            self._found = _server_or_network(recent, counted, self._counted) if served else stage
        return self._found


def _server_or_network(recent: StageTimes, before: Statistics | None, after: Statistics | None) -> str:
    if before is None or after is None or after.requests <= before.requests or not recent.requests:
        return "server or network"
    spent = after.queue + after.compute - before.queue - before.compute
    per_request = spent / (after.requests - before.requests)
    return "server" if per_request >= _SERVER_SHARE * recent.answer / recent.requests else "network"
