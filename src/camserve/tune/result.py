"""What tuning measured: each candidate at each load, and the fastest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from camserve.serving.config.named_options import format_value

__all__ = ["TuneResult", "TunedCandidate", "TunedPoint"]


@dataclass(frozen=True)
class TunedPoint:
    """A candidate measured at one load.

    Attributes:
        concurrency: Requests in flight.
        images_per_second: Images answered per second.
        interval: Confidence interval of `images_per_second`: its low and high end.
        p50_ms: Median latency in milliseconds.
        p99_ms: 99th percentile of latencies in milliseconds.
    """

    concurrency: int
    images_per_second: float
    interval: tuple[float, float]
    p50_ms: float
    p99_ms: float


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


@dataclass(frozen=True)
class TuneResult:
    """The result of tuning.

    Attributes:
        winner: The fastest candidate within the limit; None if there is none.
        winner_point: Where it is fastest.
        p99_limit_ms: Limit of the 99th percentile of latencies in milliseconds; None without a limit.
        candidates: All candidates that were measured.
        left_out: Choices that were not measured, each with the reason.
        seconds: How long tuning took.
    """

    winner: TunedCandidate | None
    winner_point: TunedPoint | None
    p99_limit_ms: float | None
    candidates: tuple[TunedCandidate, ...]
    left_out: tuple[str, ...]
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """Return the result as JSON; options have the form that `--set` takes."""
        return {
            "winner": None if self.winner is None else _document(self.winner),
            "winner_point": None if self.winner_point is None else asdict(self.winner_point),
            "p99_limit_ms": self.p99_limit_ms,
            "candidates": [_document(each) for each in self.candidates],
            "left_out": list(self.left_out),
            "seconds": self.seconds,
        }


def _document(candidate: TunedCandidate) -> dict[str, Any]:
    options = {name: format_value(value) for name, value in candidate.options.items()}
    return {**asdict(candidate), "options": options}
