"""Prometheus metrics of the client (optional)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from camserve.errors import UsageError

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

__all__ = ["Metrics"]

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Metrics:
    """Prometheus metrics of requests, for one classifier or shared by several.

    | metric | type | labels |
    |---|---|---|
    | `camserve_client_requests_total` | counter | `model`, `outcome`: answered, refused, contract, connection, deadline, cancelled, failed |
    | `camserve_client_retries_total` | counter | `model` |
    | `camserve_client_request_seconds` | histogram: over all attempts, whatever the outcome | `model` |
    | `camserve_client_received_bytes_total` | counter: of replies | `model` |
    | `camserve_client_requests_under_way` | gauge | `model` |

    Args:
        registry: Where to register them (default: the registry of prometheus_client).

    Raises:
        UsageError: If prometheus_client is not installed, or the registry already contains these metrics.
    """  # noqa: E501 - a table

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        try:
            import prometheus_client as prometheus  # noqa: PLC0415 - optional
        except ImportError:
            raise UsageError(
                "metrics require prometheus_client, which is not installed",
                hint="Install it: pip install 'camserve[metrics]'",
            ) from None
        to = prometheus.REGISTRY if registry is None else registry
        model = ("model",)
        prefix = "camserve_client"
        try:
            self._requests = prometheus.Counter(
                f"{prefix}_requests", "Requests by outcome.", (*model, "outcome"), registry=to
            )
            self._retries = prometheus.Counter(f"{prefix}_retries", "Retries.", model, registry=to)
            self._seconds = prometheus.Histogram(
                f"{prefix}_request_seconds",
                "Duration of requests over all attempts.",
                model,
                registry=to,
                buckets=_SECONDS,
            )
            self._received = prometheus.Counter(f"{prefix}_received_bytes", "Bytes of replies.", model, registry=to)
            self._under_way = prometheus.Gauge(
                f"{prefix}_requests_under_way", "Requests in progress.", model, registry=to
            )
        except ValueError:
            raise UsageError(
                "the Prometheus registry already contains the metrics of camserve",
                hint="Pass one Metrics object to all classifiers, or give each its own registry",
            ) from None

    def started(self, model: str) -> None:
        """Count a request as in progress."""
        self._under_way.labels(model).inc()

    def retried(self, model: str) -> None:
        """Count a retry."""
        self._retries.labels(model).inc()

    def received(self, model: str, size: int) -> None:
        """Count the bytes of a reply."""
        self._received.labels(model).inc(size)

    def ended(self, model: str, outcome: str, seconds: float) -> None:
        """Count a request that has ended."""
        self._under_way.labels(model).dec()
        self._requests.labels(model, outcome).inc()
        self._seconds.labels(model).observe(seconds)
