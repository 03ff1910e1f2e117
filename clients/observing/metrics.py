"""Counters for Prometheus, on request."""

from __future__ import annotations

from typing import TYPE_CHECKING

from camserve.errors import UsageError

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

__all__ = ["Metrics"]

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Metrics:
    """Counters of requests, for one classifier or shared by several.

    | metric | type | labels |
    |---|---|---|
    | `camserve_client_requests_total` | counter | `model`, `outcome`: answered, refused, contract, connection, deadline, cancelled, failed |
    | `camserve_client_retries_total` | counter | `model` |
    | `camserve_client_request_seconds` | histogram: over all tries, whatever the outcome | `model` |
    | `camserve_client_received_bytes_total` | counter: of answers | `model` |
    | `camserve_client_requests_under_way` | gauge | `model` |

    Args:
        registry: Where they are registered; prometheus_client's own registry unless given.

    Raises:
        UsageError: If prometheus_client is not installed, or the registry has such counters already.
    """  # noqa: E501 - a table

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        try:
            import prometheus_client as prometheus  # noqa: PLC0415 - optional, and only who counts needs it
        except ImportError as error:
            raise UsageError(
                "metrics were asked for, but prometheus_client is not installed",
                hint="Install it: pip install 'camserve[metrics]'",
            ) from error
        to = prometheus.REGISTRY if registry is None else registry
        model = ("model",)
        prefix = "camserve_client"
        try:
            self._requests = prometheus.Counter(
                f"{prefix}_requests", "Requests that have ended, by outcome.", (*model, "outcome"), registry=to
            )
            self._retries = prometheus.Counter(f"{prefix}_retries", "Further tries.", model, registry=to)
            self._seconds = prometheus.Histogram(
                f"{prefix}_request_seconds",
                "Duration of requests over all tries.",
                model,
                registry=to,
                buckets=_SECONDS,
            )
            self._received = prometheus.Counter(f"{prefix}_received_bytes", "Bytes of answers.", model, registry=to)
            self._under_way = prometheus.Gauge(f"{prefix}_requests_under_way", "Requests now.", model, registry=to)
        except ValueError as error:
            raise UsageError(
                "this registry of Prometheus has camserve's counters already",
                hint="Make one Metrics and give it to every classifier, or give each a registry of its own",
            ) from error

    def began(self, model: str) -> None:
        """Counts a request as under way."""
        self._under_way.labels(model).inc()

    def tried_again(self, model: str) -> None:
        """Counts a further try."""
        self._retries.labels(model).inc()

    def received(self, model: str, size: int) -> None:
        """Counts the bytes of an answer."""
        self._received.labels(model).inc(size)

    def ended(self, model: str, outcome: str, seconds: float) -> None:
        """Counts a request that is no longer under way."""
        self._under_way.labels(model).dec()
        self._requests.labels(model, outcome).inc()
        self._seconds.labels(model).observe(seconds)
