"""What tuning measured: each candidate at each load, and the fastest."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from camserve.serving.config.named_options import format_value
from camserve.tune.contender import Arm, Contender
from camserve.tune.readings import rate_interval

__all__ = ["TuneResult", "TunedCandidate", "TunedPoint", "publish_command", "tuned_candidate", "tuned_point"]


@dataclass(frozen=True)
class TunedPoint:
    """A candidate measured at one load.

    Attributes:
        concurrency: Requests in flight.
        images_per_second: Images answered per second.
        interval: 95 % confidence interval of `images_per_second`: its low and high end.
        p50_ms: Median latency in milliseconds.
        p99_ms: 99th percentile of latencies in milliseconds: the median of the readings.
        p99_bound_ms: What a further reading exceeds in one of 40 cases; None after a single reading.
        readings: Number of readings.
        client_limited: Whether the load generator may have been the limit.
    """

    concurrency: int
    images_per_second: float
    interval: tuple[float, float]
    p50_ms: float
    p99_ms: float
    p99_bound_ms: float | None = None
    readings: int = 1
    client_limited: bool = False


@dataclass(frozen=True)
class TunedCandidate:
    """A bundle, a backend and serving options, and what they reached.

    Attributes:
        bundle: Folder of the bundle.
        precision: Precision of the bundle.
        backend: Triton's backend.
        options: Serving options by name.
        points: What was measured.
        dropped: Why it was not measured further; None if it was.
    """

    bundle: str
    precision: str
    backend: str
    options: Mapping[str, Any]
    points: tuple[TunedPoint, ...]
    dropped: str | None = None

    def best_point(self, limit: float | None) -> TunedPoint | None:
        """Return the point with the most images per second within the limit of the p99; None without one."""
        within = [point for point in self.points if limit is None or point.p99_ms <= limit]
        return max(within, key=lambda point: point.images_per_second, default=None)


@dataclass(frozen=True)
class TuneResult:
    """The result of tuning.

    Attributes:
        winner: The fastest candidate within the limit; None if there is none.
        winner_point: Where it is fastest.
        p99_limit_ms: Limit of the 99th percentile of latencies in milliseconds; None without a limit.
        candidates: All candidates that were measured.
        left_out: Choices that were not measured, each with the reason.
        notes: What a reader of the result must know, such as that the time was not enough.
        seconds: How long tuning took.
    """

    winner: TunedCandidate | None
    winner_point: TunedPoint | None
    p99_limit_ms: float | None
    candidates: tuple[TunedCandidate, ...]
    left_out: tuple[str, ...]
    seconds: float
    notes: tuple[str, ...] = ()

    @property
    def lowest_p99(self) -> tuple[TunedCandidate, TunedPoint] | None:
        """The candidate with the lowest p99, and where; None if nothing was measured."""
        pairs = [(candidate, point) for candidate in self.candidates for point in candidate.points]
        return min(pairs, key=lambda pair: pair[1].p99_ms, default=None)

    def to_json(self) -> dict[str, Any]:
        """Return the result as JSON; options have the form that `--set` takes."""
        return {
            "winner": None if self.winner is None else _document(self.winner),
            "winner_point": None if self.winner_point is None else _point_document(self.winner_point),
            "p99_limit_ms": self.p99_limit_ms,
            "candidates": [_document(each) for each in self.candidates],
            "left_out": list(self.left_out),
            "notes": list(self.notes),
            "seconds": self.seconds,
        }


def tuned_candidate(contender: Contender) -> TunedCandidate:
    """Return what was measured of a contender."""
    candidate = contender.candidate
    points = tuple(tuned_point(Arm(contender, level)) for level in sorted(contender.levels))
    return TunedCandidate(
        candidate.bundle, candidate.precision, candidate.backend, candidate.options, points, contender.dropped
    )


def tuned_point(arm: Arm) -> TunedPoint:
    """Return what was measured of a candidate at one concurrency."""
    readings = arm.readings
    bound = arm.p99_ms(certain=True)
    p50 = sorted(each.p50_ms for each in readings)[len(readings) // 2]
    return TunedPoint(
        arm.concurrency,
        arm.rate,
        rate_interval(readings),
        p50,
        arm.p99_ms(),
        bound if math.isfinite(bound) else None,
        len(readings),
        any(each.client_limited for each in readings),
    )


def publish_command(candidate: TunedCandidate, options_file: str | Path, repository: str = "model_repository") -> str:
    """Return the command that publishes a candidate with the file of its options."""
    words = ["camserve", "publish", candidate.bundle, "--repository", repository, "--options", str(options_file)]
    return shlex.join(words)


def _document(candidate: TunedCandidate) -> dict[str, Any]:
    options = {name: format_value(value) for name, value in candidate.options.items()}
    points = [_point_document(point) for point in candidate.points]
    return {**asdict(replace(candidate, options={})), "options": options, "points": points}


def _point_document(point: TunedPoint) -> dict[str, Any]:
    """Return a point as JSON, which has no infinity and no NaN."""
    return {name: _finite(value) for name, value in asdict(point).items()}


def _finite(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
