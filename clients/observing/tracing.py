"""OpenTelemetry spans and trace context (optional)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import AbstractContextManager
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING

from camserve.errors import CamserveError
from camserve.text import printable

if TYPE_CHECKING:
    from opentelemetry.trace import Span

__all__ = ["Tracing", "end_span", "open_tracing", "record_failure", "record_reply"]

_METHODS = {
    "infer": "ModelInfer",
    "describe": "ModelConfig",
    "index": "RepositoryIndex",
    "versions": "ModelMetadata",
    "statistics": "ModelStatistics",
}
# What gRPC accepts as metadata: anything else would fail the request.
_KEY = re.compile(r"[a-z0-9_.-]+(?<!-bin)", re.ASCII)
_VALUE = re.compile(r"[ -~]*", re.ASCII)
_ADDRESS = re.compile(r"(?:[a-z]+:/*)?(?:\[(?P<ipv6>[^\]]+)\]|(?P<host>[^:/]+)):(?P<port>\d+)", re.ASCII)


class Tracing:
    """Creates a span for each request; see `open_tracing`."""

    def __init__(self) -> None:
        from opentelemetry import propagate, trace  # noqa: PLC0415 - optional, and slow to import

        self._trace = trace
        self._propagate = propagate
        self._tracer = trace.get_tracer("camserve.clients")

    def start(self, model: str, method: str) -> Span | None:
        """Start the span of one request; return None if no span is collected and there is no trace to continue."""
        name, attributes = _description(model, method)
        span = self._tracer.start_span(name, kind=self._trace.SpanKind.CLIENT, attributes=attributes)
        return span if span.get_span_context().is_valid else None

    def current(self, span: Span) -> AbstractContextManager[Span]:
        """Make a span the current one until the block ends, and end it then."""
        # A recorded exception would include its traceback, with the text of its causes.
        return self._trace.use_span(span, end_on_exit=True, record_exception=False, set_status_on_exception=False)

    def headers(self) -> tuple[tuple[str, str], ...]:
        """Return the context of the current span as gRPC metadata."""
        carrier: dict[str, str] = {}
        self._propagate.inject(carrier)
        pairs = ((key.lower(), value) for key, value in carrier.items())
        return tuple((key, value) for key, value in pairs if _KEY.fullmatch(key) and _VALUE.fullmatch(value))


@lru_cache(maxsize=64)
def _description(model: str, method: str) -> tuple[str, Mapping[str, str]]:
    """Return the name and the attributes of the span of a request."""
    name = printable(model)
    attributes = {
        "rpc.system": "grpc",
        "rpc.service": "inference.GRPCInferenceService",
        "rpc.method": _METHODS.get(method, method),
        "camserve.model": name,
    }
    return f"camserve {method} {name}", MappingProxyType(attributes)


def open_tracing() -> Tracing | None:
    """Return a `Tracing`, or None if OpenTelemetry is not installed."""
    try:
        return Tracing()
    except ImportError:
        return None


def record_failure(span: Span, url: str, error: CamserveError, delay: float | None) -> None:
    """Add a failed attempt to a span."""
    if span.is_recording():
        attributes: dict[str, str | int | float] = {
            **_server(url),
            "error.type": type(error).__name__,
            "error.message": printable(error.message),
        }
        if delay is not None:
            attributes["camserve.delay"] = delay
        span.add_event("try failed", attributes)


def record_reply(span: Span, url: str, version: str, size: int, attempts: int) -> None:
    """Add the reply to a span."""
    if span.is_recording():
        span.set_attributes(
            {
                **_server(url),
                "rpc.grpc.status_code": 0,
                "camserve.model_version": printable(version),
                "camserve.received_bytes": size,
                "camserve.tries": attempts,
            }
        )


def end_span(span: Span, error: BaseException, attempts: int) -> None:
    """Add the error that ended a request to its span, by its type only unless it is an error of camserve."""
    from opentelemetry.trace import StatusCode  # noqa: PLC0415 - optional

    if span.is_recording():
        name = type(error).__name__
        span.set_attributes({"error.type": name, "camserve.tries": attempts})
        span.set_status(StatusCode.ERROR, printable(error.message) if isinstance(error, CamserveError) else name)


def _server(url: str) -> dict[str, str | int]:
    match = _ADDRESS.fullmatch(url)
    if match is None:
        return {"server.address": url}
    return {"server.address": match["ipv6"] or match["host"], "server.port": int(match["port"])}
