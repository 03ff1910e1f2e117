"""What happened to a request, told to whoever listens: the log, a trace, counters.

Whatever file names or servers say is told in one line. No header and no pixel is ever told.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from camserve.clients.observing import tracing
from camserve.clients.observing.metrics import Metrics
from camserve.errors import CamserveError, ConnectionFailedError, ContractError, DeadlineError, RequestError
from camserve.text import printable

if TYPE_CHECKING:
    from opentelemetry.trace import Span

__all__ = ["Monitor", "Observed"]

# A library is silent unless its user has set logging up: without this, Python prints warnings by itself.
logging.getLogger("camserve").addHandler(logging.NullHandler())
_log = logging.getLogger("camserve.clients.wire")

_OUTCOMES: tuple[tuple[type[BaseException], str], ...] = (
    (DeadlineError, "deadline"),
    (ConnectionFailedError, "connection"),
    (ContractError, "contract"),
    (RequestError, "refused"),
    (Exception, "failed"),
)


class Observed:
    """One request, over all its tries.

    Attributes:
        headers: The trace context to send along as gRPC metadata; empty where nothing traces.
    """

    def __init__(self, model: str, method: str, metrics: Metrics | None) -> None:
        self.headers: tuple[tuple[str, str], ...] = ()
        self._model = model
        self._method = method
        self._metrics = metrics
        self._span: Span | None = None
        self._tries = 0
        self._began = time.perf_counter()

    def tried(self, url: str, error: CamserveError, delay: float | None) -> None:
        """A try failed; the next follows after `delay` seconds, or none where it is None."""
        self._tries += 1
        if delay is not None and self._metrics is not None:
            self._metrics.tried_again(self._model)
        if self._span is not None:
            tracing.note_try(self._span, url, error, delay)
        # An error that the caller is about to see is the caller's to log.
        level, then = (logging.DEBUG, "given up") if delay is None else (logging.WARNING, f"again in {delay:.2f} s")
        if _log.isEnabledFor(level):
            why = f"{type(error).__name__}: {error.message}"
            _log.log(level, "%s at %s, try %d: %s; %s", *self._what(url), self._tries, printable(why), then)

    def answered(self, url: str, version: str, received: int, tries: int) -> None:
        """The answer came: from which server and version, in how many bytes, at which try."""
        if self._metrics is not None:
            self._metrics.received(self._model, received)
        if self._span is not None:
            tracing.note_answer(self._span, url, version, received, tries)
        if _log.isEnabledFor(logging.DEBUG):
            told = (printable(version), received, tries, self._seconds())
            _log.debug("%s at %s: version %s, %d bytes, try %d, %.4f s", *self._what(url), *told)

    @contextmanager
    def traced(self, tracer: tracing.Tracing | None) -> Iterator[None]:
        """Gives the request a span until the block ends, where anything traces."""
        span = None if tracer is None else tracer.start(self._model, self._method)
        if tracer is None or span is None:
            yield
            return
        with tracer.current(span):
            self._span = span
            self.headers = tracer.headers()
            try:
                yield
            except BaseException as error:
                tracing.end_span(self._span, error, max(1, self._tries))
                raise

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Counts the request as under way until the block ends, and then by its outcome, if anything counts."""
        if self._metrics is None:
            yield
            return
        self._metrics.began(self._model)
        outcome = "answered"
        try:
            yield
        except BaseException as error:
            outcome = _outcome(error)
            raise
        finally:
            self._metrics.ended(self._model, outcome, self._seconds())

    def _seconds(self) -> float:
        return time.perf_counter() - self._began

    def _what(self, url: str) -> tuple[str, str]:
        return f"{self._method} {printable(self._model)}", printable(url)


class Monitor:
    """Watches the requests of one client. May be used from several threads and on an event loop.

    Args:
        metrics: Counters to keep, of requests for answers alone; none unless given.
    """

    def __init__(self, *, metrics: Metrics | None = None) -> None:
        self._metrics = metrics
        self._tracing = tracing.open_tracing()

    @contextmanager
    def request(self, model: str, method: str = "infer") -> Iterator[Observed]:
        """Observes one request until the block ends; an error that leaves the block is its outcome."""
        observed = Observed(model, method, self._metrics if method == "infer" else None)
        with observed.traced(self._tracing), observed.counted():
            yield observed


def _outcome(error: BaseException) -> str:
    return next((name for kind, name in _OUTCOMES if isinstance(error, kind)), "cancelled")
