"""Log, trace and count requests.

Text from file names and servers is written as one line. Headers and pixels are never written.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING

from camserve.clients.observing import tracing
from camserve.clients.observing.metrics import Metrics
from camserve.errors import CamserveError, ConnectionFailedError, ContractError, DeadlineError, RequestError
from camserve.text import printable

if TYPE_CHECKING:
    from opentelemetry.trace import Span

__all__ = ["Monitor", "Observation"]

# Without this, Python prints warnings of a library whose user has not configured logging.
logging.getLogger("camserve").addHandler(logging.NullHandler())
_log = logging.getLogger("camserve.clients.wire")

_OUTCOMES: tuple[tuple[type[BaseException], str], ...] = (
    (DeadlineError, "deadline"),
    (ConnectionFailedError, "connection"),
    (ContractError, "contract"),
    (RequestError, "refused"),
    (Exception, "failed"),
)


class Observation:
    """One request over all its attempts.

    Attributes:
        headers: The trace context as gRPC metadata; empty without tracing.
    """

    def __init__(self, model: str, method: str, metrics: Metrics | None) -> None:
        self.headers: tuple[tuple[str, str], ...] = ()
        self._model = model
        self._method = method
        self._metrics = metrics
        self._span: Span | None = None
        self._failures = 0
        self._began = time.perf_counter()

    def record_failure(self, url: str, error: CamserveError, delay: float | None) -> None:
        """Record a failed attempt; the next follows after `delay` seconds, or there is none if that is None."""
        self._failures += 1
        if delay is not None and self._metrics is not None:
            self._metrics.retried(self._model)
        if self._span is not None:
            tracing.record_failure(self._span, url, error, delay)
        # The last error is raised: the caller logs it.
        level, then = (logging.DEBUG, "giving up") if delay is None else (logging.WARNING, f"retry in {delay:.2f} s")
        if _log.isEnabledFor(level):
            why = f"{type(error).__name__}: {error.message}"
            _log.log(level, "%s at %s, attempt %d: %s; %s", *self._what(url), self._failures, printable(why), then)

    def record_reply(self, url: str, version: str, size: int, attempts: int) -> None:
        """Record the reply: its server, the version of the model, its size in bytes, and the number of attempts."""
        if self._metrics is not None:
            self._metrics.received(self._model, size)
        if self._span is not None:
            tracing.record_reply(self._span, url, version, size, attempts)
        if _log.isEnabledFor(logging.DEBUG):
            values = (printable(version), size, attempts, self._seconds())
            _log.debug("%s at %s: version %s, %d bytes, attempt %d, %.4f s", *self._what(url), *values)

    def counted(self) -> AbstractContextManager[None]:
        """Count the request as in progress until the block ends, and then by its outcome, if there are metrics."""
        return nullcontext() if self._metrics is None else self._counted(self._metrics)

    @contextmanager
    def _counted(self, metrics: Metrics) -> Iterator[None]:
        metrics.started(self._model)
        outcome = "answered"
        try:
            yield
        except BaseException as error:
            outcome = _outcome(error)
            raise
        finally:
            metrics.ended(self._model, outcome, self._seconds())

    @contextmanager
    def traced(self, tracer: tracing.Tracing, span: Span) -> Iterator[None]:
        """Make a span the current one until the block ends, and record in it an error that leaves the block."""
        with tracer.current(span):
            self._span = span
            self.headers = tracer.headers()
            try:
                yield
            except BaseException as error:
                tracing.end_span(span, error, max(1, self._failures))
                raise

    def _seconds(self) -> float:
        return time.perf_counter() - self._began

    def _what(self, url: str) -> tuple[str, str]:
        return f"{self._method} {printable(self._model)}", printable(url)


class Monitor:
    """Logs, traces and counts the requests of one client. May be used from several threads and on an event loop.

    Args:
        metrics: Prometheus metrics of inference requests.
    """

    def __init__(self, *, metrics: Metrics | None = None) -> None:
        self._metrics = metrics
        self._tracing = tracing.open_tracing()

    @contextmanager
    def observe(self, model: str, method: str = "infer") -> Iterator[Observation]:
        """Observe one request until the block ends; an error that leaves the block is its outcome."""
        tracer = self._tracing
        span = tracer.start(model, method) if tracer else None
        observation = Observation(model, method, self._metrics if method == "infer" else None)
        if tracer is None or span is None:
            with observation.counted():
                yield observation
        else:
            with observation.traced(tracer, span), observation.counted():
                yield observation


def _outcome(error: BaseException) -> str:
    return next((name for kind, name in _OUTCOMES if isinstance(error, kind)), "cancelled")
