"""Score items in the threads of this process, in order, with a limited number of chunks in progress."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from typing import Protocol

from camserve.argument_checks import check_whole
from camserve.clients.answers.served_model import Model
from camserve.clients.scoring.answerer import Answerer
from camserve.clients.scoring.bottleneck import Bottleneck
from camserve.clients.scoring.chunk_scorer import ChunkScorer, ScoredChunk
from camserve.clients.scoring.chunks import chunk_limit, chunks
from camserve.clients.scoring.items import Item
from camserve.clients.scoring.patience import Patience
from camserve.clients.scoring.row_options import RowOptions
from camserve.clients.scoring.rows import ScoredRow
from camserve.clients.scoring.stage_times import StageTimes
from camserve.clients.threads import starting_threads
from camserve.errors import UsageError

__all__ = ["Engine", "RowsInProgress", "ThreadEngine", "check_concurrency"]

_AHEAD = 2
"""Chunks taken for each thread, so that a slow first chunk does not leave the other threads idle."""


class Engine(Protocol):
    """Scores items in order."""

    @property
    def model(self) -> Model:
        """The model that answers."""

    def limited_by(self) -> str | None:
        """Return what limits the run; see `Bottleneck.find`."""

    def rows(self, items: Iterable[Item]) -> Generator[ScoredRow, None, None]:
        """Yield a row for each item, in order; items are taken as rows are yielded.

        A recorded row that is the result is the object `item.recorded` itself, which tells it from one that was scored.

        Raises:
            CamserveError: If an error affects every image.
        """


@dataclass(frozen=True)
class RowsInProgress:
    """The rows of a run, as they are finished.

    Attributes:
        rows: The rows.
        limited_by: Returns what limits the run; see `Bottleneck.find`.
    """

    rows: Iterable[ScoredRow]
    limited_by: Callable[[], str | None]

    def __iter__(self) -> Iterator[ScoredRow]:
        return iter(self.rows)


def check_concurrency(concurrency: int) -> None:
    """Check a number of concurrent requests."""
    check_whole("concurrency", concurrency)
    if concurrency < 1:
        raise UsageError(
            f"concurrency must be at least 1, got {concurrency}", hint="Pass a positive integer, or omit it"
        )


class ThreadEngine:
    """Scores chunks of items in threads, which end with each iteration.

    Args:
        answerer: What classifies the images; closed at the end of the iteration.
        options: What rows contain.
        concurrency: Number of threads, each of which decodes and classifies a chunk.
        patience: Waits for a server that restarts (default: an error ends the iteration at once).

    Attributes:
        stages: The time that the stages took so far.

    Raises:
        UsageError: If an option is invalid.
    """

    def __init__(
        self, answerer: Answerer, options: RowOptions, *, concurrency: int = 8, patience: Patience | None = None
    ) -> None:
        check_concurrency(concurrency)
        self._patience = patience or Patience(0)
        self._answerer = answerer
        self._options = options
        self._scorer = ChunkScorer(answerer, options, self._patience)
        self._concurrency = concurrency
        self.stages = StageTimes()
        self._bottleneck = Bottleneck(answerer)

    @property
    def model(self) -> Model:
        """The model that answers."""
        return self._answerer.model

    def limited_by(self) -> str | None:
        """Return what limits the run; see `Bottleneck.find`."""
        return self._bottleneck.find(self.stages)

    def rows(self, items: Iterable[Item]) -> Generator[ScoredRow, None, None]:
        """Yield a row for each item, in order."""
        pool = ThreadPoolExecutor(self._concurrency, thread_name_prefix="camserve-score")
        pending: deque[Future[ScoredChunk]] = deque()
        try:
            for chunk in chunks(items, chunk_limit(self.model, self._options)):
                with starting_threads():
                    pending.append(pool.submit(copy_context().run, self._scorer.score, chunk))
                while pending and (len(pending) >= _AHEAD * self._concurrency or pending[0].done()):
                    yield from self._rows_of(pending.popleft())
            while pending:
                yield from self._rows_of(pending.popleft())
        finally:
            self._patience.stop()
            self._answerer.close()
            pool.shutdown(cancel_futures=True)

    def _rows_of(self, done: Future[ScoredChunk]) -> list[ScoredRow]:
        chunk = done.result()
        self.stages += chunk.times
        return chunk.rows
