"""Spans and trace context of OpenTelemetry, where that is installed."""

from __future__ import annotations

import re
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from camserve.errors import CamserveError
from camserve.text import printable

if TYPE_CHECKING:
    from opentelemetry.trace import Span

__all__ = ["Tracing", "end_span", "note_answer", "note_try", "open_tracing"]

_METHODS = {"infer": "ModelInfer", "describe": "ModelConfig", "statistics": "ModelStatistics"}
# What gRPC takes as metadata in plain text: anything else would fail the request that it is to describe.
_KEY = re.compile(r"[a-z0-9_.-]+(?<!-bin)", re.ASCII)
_VALUE = re.compile(r"[ -~]*", re.ASCII)
_ADDRESS = re.compile(r"(?:[a-z]+:/*)?(?:\[(?P<ipv6>[^\]]+)\]|(?P<host>[^:/]+)):(?P<port>\d+)", re.ASCII)


class Tracing:
    """Makes a span for each request; to be had from `open_tracing`."""

    def __init__(self) -> None:
        from opentelemetry import propagate, trace  # noqa: PLC0415 - optional, and paid for only by who connects

        self._trace = trace
        self._propagate = propagate
        self._tracer = trace.get_tracer("camserve.clients")

    def start(self, model: str, method: str) -> Span | None:
        """Begins the span of one request; None where nobody collects spans and there is no trace to go on with."""
        span = self._tracer.start_span(
            f"camserve {method} {printable(model)}",
            kind=self._trace.SpanKind.CLIENT,
            attributes={
                "rpc.system": "grpc",
                "rpc.service": "inference.GRPCInferenceService",
                "rpc.method": _METHODS.get(method, method),
                "camserve.model": printable(model),
            },
        )
        return span if span.get_span_context().is_valid else None

    def current(self, span: Span) -> AbstractContextManager[Span]:
        """Makes a span the current one until the block ends, and ends it then."""
        # An exception that is recorded brings its whole traceback along, with whatever its causes quote.
        return self._trace.use_span(span, end_on_exit=True, record_exception=False, set_status_on_exception=False)

    def headers(self) -> tuple[tuple[str, str], ...]:
        """The context of the current span as metadata of gRPC."""
        carrier: dict[str, str] = {}
        self._propagate.inject(carrier)
        pairs = ((key.lower(), value) for key, value in carrier.items())
        return tuple((key, value) for key, value in pairs if _KEY.fullmatch(key) and _VALUE.fullmatch(value))


def open_tracing() -> Tracing | None:
    """Tracing, or None where OpenTelemetry is not installed."""
    try:
        return Tracing()
    except ImportError:
        return None


def note_try(span: Span, url: str, error: CamserveError, delay: float | None) -> None:
    """Adds a try that failed to a span."""
    if span.is_recording():
        attributes: dict[str, str | int | float] = {
            **_server(url),
            "error.type": type(error).__name__,
            "error.message": printable(error.message),
        }
        if delay is not None:
            attributes["camserve.delay"] = delay
        span.add_event("try failed", attributes)


def note_answer(span: Span, url: str, version: str, received: int, tries: int) -> None:
    """Tells a span who answered."""
    if span.is_recording():
        span.set_attributes(
            {
                **_server(url),
                "rpc.grpc.status_code": 0,
                "camserve.model_version": printable(version),
                "camserve.received_bytes": received,
                "camserve.tries": tries,
            }
        )


def end_span(span: Span, error: BaseException, tries: int) -> None:
    """Tells a span by which error its request ended, and after how many tries; of a foreign error only its kind."""
    from opentelemetry.trace import StatusCode  # noqa: PLC0415 - optional

    if span.is_recording():
        name = type(error).__name__
        span.set_attributes({"error.type": name, "camserve.tries": tries})
        span.set_status(StatusCode.ERROR, printable(error.message) if isinstance(error, CamserveError) else name)


def _server(url: str) -> dict[str, str | int]:
    match = _ADDRESS.fullmatch(url)
    if match is None:
        return {"server.address": url}
    return {"server.address": match["ipv6"] or match["host"], "server.port": int(match["port"])}
