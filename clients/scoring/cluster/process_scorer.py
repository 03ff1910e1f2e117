"""A scorer that can be sent to the processes of a cluster, each of which connects once."""

from __future__ import annotations

import os
import pickle
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from camserve.clients.answers.served_model import Model
from camserve.clients.scoring.answerer import Answerer, AnswererOptions
from camserve.clients.scoring.chunk_scorer import ChunkScorer, ScoredChunk
from camserve.clients.scoring.items import Item
from camserve.clients.scoring.patience import OutageListener, Patience
from camserve.clients.scoring.row_options import RowOptions
from camserve.errors import UsageError

__all__ = ["ProcessScorer"]

_lock = threading.Lock()
_opened: dict[tuple[int, bytes], _Opened] = {}
"""What is open in this process; a process that was forked does not use the connections of its parent."""


@dataclass(frozen=True)
class ProcessScorer:
    """Scores chunks of items in the process that it is called in. It can be pickled.

    The process connects to the server, or loads the bundle, at the first call, and keeps it for all scorers with equal
    options until it ends, or, that of a run, until it works for another run.

    Attributes:
        answerer: What classifies the images.
        options: What rows contain.
        patience: Seconds to wait for a server that restarts.
        threads: Number of chunks to score at once.
        run: Identifier of a run that has connected to the server before, so that processes wait for it from the start;
            empty if there is none.
    """

    answerer: AnswererOptions
    options: RowOptions
    patience: float = 300.0
    threads: int = 2
    run: str = ""

    @property
    def model(self) -> Model:
        """The model that answers in this process."""
        return self._open().answerer.model

    def score(self, chunks: Sequence[Sequence[Item]], outages: OutageListener | None = None) -> Iterator[ScoredChunk]:
        """Yield the result for each chunk, in order.

        Args:
            chunks: The chunks.
            outages: Is told of outages, if this call is the first of the process.

        Raises:
            CamserveError: If an error affects every image.
        """
        opened = self._open(outages)
        pending = [opened.pool.submit(opened.scorer.score, chunk) for chunk in chunks]
        try:
            for each in pending:
                yield each.result()
        finally:
            for each in pending:
                each.cancel()

    def check_can_be_sent(self) -> bytes:
        """Return the scorer as bytes.

        Raises:
            UsageError: If an option cannot be pickled.
        """
        try:
            return pickle.dumps(self)
        except (TypeError, AttributeError, pickle.PicklingError) as error:
            raise UsageError(
                f"an option cannot be sent to other processes: {error}", hint="Leave out options such as metrics"
            ) from None

    def _open(self, outages: OutageListener | None = None) -> _Opened:
        key = (os.getpid(), self.check_can_be_sent())
        with _lock:
            if key not in _opened:
                if self.run:
                    _close_earlier_runs()
                _opened[key] = _Opened(self, outages)
            return _opened[key]


def _close_earlier_runs() -> None:
    """Close what earlier runs opened in this process, which has one task at a time."""
    for key, opened in list(_opened.items()):
        if opened.run:
            del _opened[key]
            opened.close()


class _Opened:
    """The connection of a process and the threads that use it."""

    def __init__(self, scorer: ProcessScorer, outages: OutageListener | None) -> None:
        self.run = scorer.run
        patience = Patience(scorer.patience, outages)
        opening = patience if scorer.run else Patience(0)
        self.answerer: Answerer = opening.bridge(scorer.answerer.open)
        self.scorer = ChunkScorer(self.answerer, scorer.options, patience)
        self.pool = ThreadPoolExecutor(scorer.threads, thread_name_prefix="camserve-score")

    def close(self) -> None:
        """Close the connection, or release the bundle."""
        self.answerer.close()
        self.pool.shutdown(wait=False)
