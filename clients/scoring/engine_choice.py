"""Open the engine that scores many images: threads of this process, or worker processes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

from camserve.clients.scoring.answerer import AnswererOptions
from camserve.clients.scoring.engine import ThreadEngine, check_concurrency
from camserve.clients.scoring.patience import OutageReport, Patience, check_patience
from camserve.clients.scoring.row_options import RowOptions

__all__ = ["open_engine"]

_log = logging.getLogger("camserve.clients")
_THREADS = 8


@contextmanager
def open_engine(
    answerer_options: AnswererOptions,
    row_options: RowOptions,
    *,
    workers: int | None = None,  # noqa: ARG001
    concurrency: int | None = None,
    patience: float = 300.0,
    total: int | None = None,  # noqa: ARG001
    report: Callable[[str], None] = _log.warning,
) -> Iterator[ThreadEngine]:
    """Connect to the server or load the bundle, and yield the engine for one iteration of `rows`.

    Args:
        answerer_options: What classifies the images.
        row_options: What rows contain.
        workers: Number of worker processes; 0 for none (default: what the cores and the number of images allow).
        concurrency: Number of requests in progress in total (default: what the workers need).
        patience: Seconds to wait for a server that stops to answer, once it has answered; 0 to fail at once.
        total: Number of images, if it is known.
        report: Receives what the user should know, such as a server that does not reply.

    Raises:
        CamserveError: If an option is invalid, the server does not reply, or the bundle cannot be loaded.
    """
    if concurrency is not None:
        check_concurrency(concurrency)
    check_patience(patience)
    with closing(answerer_options.open()) as answerer:
        bridge = Patience(patience, OutageReport(report, patience))
        yield ThreadEngine(answerer, row_options, concurrency=concurrency or _THREADS, patience=bridge)
