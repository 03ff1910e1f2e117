"""What a load measurement found."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from camserve.clients.load.latencies import RELATIVE_ERROR
from camserve.clients.load.options import LoadLevel

__all__ = ["LatencySummary", "LoadPoint", "LoadResult", "LoadWindow", "ServerTimes"]


@dataclass(frozen=True)
class LatencySummary:
    """Latencies in seconds. Percentiles are within 0.4 %; NaN if no request was answered."""

    p50: float
    p90: float
    p95: float
    p99: float
    maximum: float
    mean: float


@dataclass(frozen=True)
class LoadWindow:
    """One window: correct answers that arrived in it.

    Attributes:
        answers: Correct answers.
        errors: Requests that failed.
        images_per_second: Images of the correct answers, per second.
        mean: Mean latency in seconds.
        p99: Their 99th percentile in seconds.
    """

    answers: int
    errors: int
    images_per_second: float
    mean: float
    p99: float


@dataclass(frozen=True)
class ServerTimes:
    """Mean seconds per request, and images per execution, from the statistics of Triton.

    Attributes:
        queue: In the queue.
        compute: Computing, with the copies of inputs and outputs.
    """

    queue: float
    compute: float


@dataclass(frozen=True)
class LoadPoint:
    """The measurement of one load.

    Attributes:
        level: The load.
        images_per_second: Images of correct answers, per second.
        interval: 95 % confidence interval of `images_per_second`, from the spread of the windows (Student's t). An
            infinite one if there are fewer than two windows.
        requests_per_second: Correct answers per second.
        latency: Latencies of the correct answers; in an open loop, from the time that a request should have started.
        answers: Number of correct answers in the windows that are reported.
        errors: Number of failed requests in them by reason.
        windows: Every window.
        stable: Whether the last three windows agree. Then they are what is reported, otherwise all windows are.
        reported_windows: Number of windows that are reported, the last ones.
        late: Requests that were sent more than 10 ms after the time of their schedule.
        unanswered: Requests in flight at the end of the last window.
        oldest: Seconds that the oldest of them has waited.
        client_cpu: CPU time of the busiest sending process, as a share of one core.
        host_share: CPU time of all of them, as a share of the cores of this host.
        client_limited: Whether the senders, rather than the server, may limit the rate.
        server: Times of the server, None if it does not report them.
        stopped: Why the measurement ended early, or None.
    """

    level: LoadLevel
    images_per_second: float
    interval: tuple[float, float]
    requests_per_second: float
    latency: LatencySummary
    answers: int
    errors: Mapping[str, int]
    windows: Sequence[LoadWindow]
    stable: bool
    reported_windows: int
    late: int
    unanswered: int
    oldest: float
    client_cpu: float
    host_share: float
    client_limited: bool
    server: ServerTimes | None
    stopped: str | None = None

    @property
    def error_count(self) -> int:
        """Number of failed requests."""
        return sum(self.errors.values())


@dataclass(frozen=True)
class LoadResult:
    """The measurements of all loads.

    Attributes:
        url: The server.
        model: The model.
        version: Its version.
        batch: Images per request.
        processes: Processes that sent the requests.
        cores: Cores of this host.
        same_host: Whether the server is certainly on this host, so that it shares the cores with the senders.
        points: One for each load.
    """

    url: str
    model: str
    version: str
    batch: int
    processes: int
    cores: int
    same_host: bool
    points: Sequence[LoadPoint]

    def document(self) -> dict[str, Any]:
        """Return the result for JSON: NaN and infinity become None."""
        document = {**asdict(self), "latency_relative_error": RELATIVE_ERROR}
        return dict(_finite(document))


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return value
