"""Score items in worker processes, in order, with a limited number of chunks in progress."""

from __future__ import annotations

import logging
import os
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from queue import Empty, SimpleQueue

from camserve.clients.answers.served_model import Model
from camserve.clients.scoring.answerer import Answerer, AnswererOptions
from camserve.clients.scoring.bottleneck import Bottleneck
from camserve.clients.scoring.chunks import chunk_limit, chunks
from camserve.clients.scoring.items import Item
from camserve.clients.scoring.patience import OutageReport
from camserve.clients.scoring.row_options import RowOptions
from camserve.clients.scoring.rows import ScoredRow
from camserve.clients.scoring.stage_times import StageTimes
from camserve.clients.scoring.workers.messages import (
    Done,
    Failed,
    Logged,
    OutageBegan,
    OutageEnded,
    Setup,
    pack_task,
)
from camserve.clients.scoring.workers.process import Event, WorkerProcess
from camserve.errors import ClientError
from camserve.text import count, printable

__all__ = ["ProcessEngine"]

_WAITING = 1
"""Chunks that wait in a worker for a free thread."""

_AHEAD = 2
"""Chunks in progress for each that workers can have, so that a slow chunk does not leave other workers idle."""

_END_SECONDS = 1.9
_FEWER = "Free memory, or lower --workers and --concurrency (in Python, workers and concurrency)"


@dataclass
class _Chunk:
    """A chunk in progress.

    Attributes:
        number: Its number.
        items: Its items.
        rows: Its rows, once they are known.
        error: The error instead.
    """

    number: int
    items: Sequence[Item]
    rows: list[ScoredRow] | None = None
    error: BaseException | None = None

    @property
    def is_done(self) -> bool:
        return self.rows is not None or self.error is not None


class ProcessEngine:
    """Scores chunks of items in worker processes, each with connections of its own.

    A worker that is killed is replaced, and its chunks are given to another worker once.

    Args:
        answerer_options: What classifies the images; each worker opens it.
        row_options: What rows contain.
        answerer: What was opened with the options in this process, to know the model and the server's statistics.
        workers: Number of processes.
        threads: Number of chunks that each decodes and classifies at once.
        patience: Seconds to wait for a server that restarts.
        report: Receives what the user should know.

    Attributes:
        stages: The time that the stages took so far.
    """

    def __init__(
        self,
        answerer_options: AnswererOptions,
        row_options: RowOptions,
        answerer: Answerer,
        *,
        workers: int,
        threads: int,
        patience: float,
        report: Callable[[str], None],
    ) -> None:
        log_level = logging.getLogger("camserve").getEffectiveLevel()
        self._setup = Setup(answerer_options, row_options, threads, patience, log_level, answerer.model, os.getpid())
        self._answerer = answerer
        self._bottleneck = Bottleneck(answerer)
        self.stages = StageTimes()
        self._limit = chunk_limit(self.model, row_options)
        self._number_of_workers = workers
        self._report = report
        self._outages = OutageReport(report, patience)
        self._events: SimpleQueue[Event] = SimpleQueue()
        self._workers: list[WorkerProcess] = []
        self._chunks: dict[int, _Chunk] = {}

    @property
    def model(self) -> Model:
        """The model that answered when the engine was opened."""
        return self._answerer.model

    def limited_by(self) -> str | None:
        """Return what limits the run; see `Bottleneck.find`."""
        return self._bottleneck.find(self.stages)

    @property
    def pids(self) -> list[int]:
        """The process IDs of the workers."""
        return [worker.pid for worker in self._workers]

    def rows(self, items: Iterable[Item]) -> Generator[ScoredRow, None, None]:
        """Yield a row for each item, in order; the workers end with the iteration.

        Raises:
            CamserveError: If an error affects every image, or a worker was killed twice at the same chunk.
        """
        try:
            yield from self._rows(enumerate(chunks(items, self._limit)))
        finally:
            self._end()

    def _rows(self, source: Iterator[tuple[int, list[Item]]]) -> Iterator[ScoredRow]:
        pending: deque[_Chunk] = deque()
        while True:
            self._fill(pending, source)
            if not pending:
                return
            if not pending[0].is_done:
                self._handle(self._events.get())
                continue
            chunk = pending.popleft()
            del self._chunks[chunk.number]
            if chunk.error is not None:
                raise chunk.error
            yield from chunk.rows or ()

    def _fill(self, pending: deque[_Chunk], source: Iterator[tuple[int, list[Item]]]) -> None:
        """Send chunks to the workers as far as the limits allow, and until the first chunk in progress is done."""
        per_worker = self._setup.threads + _WAITING
        most = _AHEAD * self._number_of_workers * per_worker
        while len(pending) < most and not any(chunk.error for chunk in pending):
            worker = self._least_busy()
            if worker is None or len(worker.chunks) >= per_worker or (numbered := next(source, None)) is None:
                return
            chunk = _Chunk(*numbered)
            pending.append(chunk)
            self._chunks[chunk.number] = chunk
            self._send(worker, chunk)
            with suppress(Empty):
                while True:
                    self._handle(self._events.get_nowait())
            if pending[0].is_done:
                return

    def _least_busy(self) -> WorkerProcess | None:
        """Return the worker with the fewest chunks; None if all of them repeat chunks."""
        while len(self._workers) < self._number_of_workers:
            self._workers.append(WorkerProcess(self._setup, self._events))
        workers = [worker for worker in self._workers if not worker.repeated]
        return min(workers, key=lambda worker: len(worker.chunks), default=None)

    def _send(self, worker: WorkerProcess, chunk: _Chunk) -> None:
        worker.send(chunk.number, pack_task(chunk.number, [_without_row(item) for item in chunk.items]))

    def _handle(self, event: Event) -> None:
        worker, message = event
        if message is None:
            self._replace(worker)
        elif isinstance(message, Done):
            worker.chunks.discard(message.number)
            chunk = self._chunks[message.number]
            rows = (row or item.recorded for row, item in zip(message.rows, chunk.items, strict=True))
            chunk.rows = [row for row in rows if row is not None]
            self.stages += message.times
            self._repeat_next(worker)
        elif isinstance(message, Failed):
            if message.number is None:
                raise message.error
            worker.chunks.discard(message.number)
            self._chunks[message.number].error = message.error
            self._repeat_next(worker)
        elif isinstance(message, OutageBegan):
            self._outages.begins(message.since, message.message)
        elif isinstance(message, OutageEnded):
            self._outages.ends(message.at)
        elif isinstance(message, Logged):
            logging.getLogger(message.name).log(message.level, "%s", message.message)

    def _replace(self, worker: WorkerProcess) -> None:
        """Let a new worker repeat the chunks of one that has ended, one after the other: so it is known which ends it.

        Raises:
            ClientError: If the worker was repeating a chunk.
        """
        how = worker.how_it_ended()
        worker.end()
        self._workers.remove(worker)
        if worker.repeated:
            raise _ended_again(how, self._chunks[worker.repeated[0]].items)
        if worker.chunks:
            images = count(sum(len(self._chunks[number].items) for number in worker.chunks), "image")
            self._report(f"a worker process {how}; another one repeats {images}")
            replacement = WorkerProcess(self._setup, self._events)
            self._workers.append(replacement)
            replacement.repeated.extend(sorted(worker.chunks))
            self._send(replacement, self._chunks[replacement.repeated[0]])

    def _repeat_next(self, worker: WorkerProcess) -> None:
        """Send the next chunk to a worker that repeats chunks and has finished one."""
        if worker.repeated:
            worker.repeated.popleft()
        if worker.repeated:
            self._send(worker, self._chunks[worker.repeated[0]])

    def _end(self) -> None:
        """End the workers."""
        for worker in self._workers:
            worker.end()
        end = time.monotonic() + _END_SECONDS
        for worker in self._workers:
            worker.wait(max(0.0, end - time.monotonic()))
        self._workers.clear()


def _without_row(item: Item) -> Item:
    """Return an item whose recorded row has only what decides whether it is the result."""
    row = item.recorded
    if row is None:
        return item
    needed = ScoredRow("", error=row.error, model=row.model, version=row.version, id=row.id, sha256=row.sha256)
    return replace(item, recorded=needed)


def _ended_again(how: str, items: Sequence[Item]) -> ClientError:
    others = f" and {count(len(items) - 1, 'other image')}" if len(items) > 1 else ""
    return ClientError(
        f"a worker process {how}, the second one at {printable(items[0].path)}{others}",
        hint=_FEWER if "SIGKILL" in how else f"Find the image that ends it with --workers 0 in a debugger; {_FEWER}",
    )
