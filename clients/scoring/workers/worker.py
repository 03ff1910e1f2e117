"""The program of a worker process: it scores the chunks that the coordinator sends, until the coordinator ends.

It does not import the program of the user, which so needs no `if __name__ == "__main__"`.
"""

from __future__ import annotations

import logging
import os
import pickle
import signal
import threading
import time
import traceback
from queue import SimpleQueue
from typing import BinaryIO

from camserve.clients.answers.known_versions import check_same
from camserve.clients.scoring.chunk_scorer import ChunkScorer
from camserve.clients.scoring.patience import Patience
from camserve.clients.scoring.workers.messages import (
    IGNORED_SIGNALS,
    Done,
    Failed,
    Logged,
    OutageBegan,
    OutageEnded,
    Setup,
    number_of,
    read_frame,
    unpack_items,
    write_frame,
)
from camserve.errors import CamserveError
from camserve.images.decoding_turns import TURNS

__all__ = ["main"]

_END_SECONDS = 1.6
"""The worker ends so many seconds after the coordinator, whatever it does."""

_POLL_SECONDS = 0.5


def main() -> None:
    """Run a worker until its standard input ends."""
    for each in IGNORED_SIGNALS:
        signal.signal(each, signal.SIG_IGN)
    source, sink = _take_standard_streams()
    sender = _Sender(sink)
    data = read_frame(source)
    if data is None:
        return
    TURNS.take_turns()
    try:
        setup: Setup = pickle.loads(data)  # noqa: S301  (of the parent process)
        threading.Thread(target=_end_with_parent, args=[setup.parent], daemon=True).start()
        _forward_log(sender, setup.log_level)
        _Worker(setup, sender).run(source)
    except BaseException as error:  # noqa: BLE001  (the coordinator raises it)
        sender.send(Failed(None, _sendable(error)))


class _Worker:
    """Scores chunks in threads.

    Args:
        setup: What to do.
        sender: Sends messages to the coordinator.
    """

    def __init__(self, setup: Setup, sender: _Sender) -> None:
        self._setup = setup
        self._send = sender.send
        self._patience = Patience(setup.patience, sender)
        self._tasks: SimpleQueue[bytes | None] = SimpleQueue()

    def run(self, source: BinaryIO) -> None:
        """Score the chunks from a stream until it ends."""
        reader = threading.Thread(target=self._receive, args=[source], daemon=True)
        reader.start()
        # The coordinator has connected before: this process waits for a server that restarts.
        answerer = self._patience.bridge(self._setup.answerer.open)
        expected = self._setup.model
        check_same(expected, answerer.model, (expected.scores, expected.ranked_by))
        scorer = ChunkScorer(answerer, self._setup.rows, self._patience)
        for _ in range(self._setup.threads):
            threading.Thread(target=self._score, args=[scorer], daemon=True).start()
        reader.join()
        answerer.close()  # the exit of the interpreter waits a little for requests that the server works on

    def _receive(self, source: BinaryIO) -> None:
        """Pass the chunks to the threads, until the stream ends."""
        while (data := read_frame(source)) is not None:
            self._tasks.put(data)
        end = threading.Timer(_END_SECONDS, os._exit, [1])
        end.daemon = True
        end.start()
        self._patience.stop()

    def _score(self, scorer: ChunkScorer) -> None:
        while (data := self._tasks.get()) is not None:
            number = number_of(data)
            try:
                items = unpack_items(data)
                del data
                chunk = scorer.score(items)
            except BaseException as error:  # noqa: BLE001  (the coordinator raises it)
                self._send(Failed(number, _sendable(error)))
            else:
                rows = [None if row is item.recorded else row for row, item in zip(chunk.rows, items, strict=True)]
                self._send(Done(number, rows, chunk.times))


class _Sender:
    """Sends messages to the coordinator, from any thread."""

    def __init__(self, sink: BinaryIO) -> None:
        self._sink = sink
        self._lock = threading.Lock()

    def send(self, message: object) -> None:
        """Send a message; end the process if the coordinator has ended."""
        data = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
        try:
            with self._lock:
                write_frame(self._sink, data)
        except OSError:
            os._exit(1)

    def begins(self, since: float, message: str) -> None:
        """Send the start of an outage."""
        self.send(OutageBegan(since, message))

    def ends(self, at: float) -> None:
        """Send the end of an outage."""
        self.send(OutageEnded(at))


class _LogHandler(logging.Handler):
    """Sends log records to the coordinator, which logs them."""

    def __init__(self, sender: _Sender) -> None:
        super().__init__()
        self._sender = sender

    def emit(self, record: logging.LogRecord) -> None:
        """Send a record."""
        self._sender.send(Logged(record.name, record.levelno, record.getMessage()))


def _forward_log(sender: _Sender, level: int) -> None:
    log = logging.getLogger("camserve")
    log.addHandler(_LogHandler(sender))
    log.setLevel(level)
    log.propagate = False


def _take_standard_streams() -> tuple[BinaryIO, BinaryIO]:
    """Return the standard streams, and replace them, so that no library reads or writes there."""
    source = os.fdopen(os.dup(0), "rb")
    sink = os.fdopen(os.dup(1), "wb", buffering=0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return source, sink


def _end_with_parent(parent: int) -> None:
    """End this process if its parent ends while another process keeps the pipe open."""
    while os.getppid() == parent:
        time.sleep(_POLL_SECONDS)
    os._exit(1)


def _sendable(error: BaseException) -> BaseException:
    """Return an error that can be pickled, with the traceback of one that is not expected."""
    if isinstance(error, CamserveError):
        return error.with_traceback(None)
    lines = "".join(traceback.format_exception(error))
    return RuntimeError(f"a worker process failed: {error!r}\n{lines}")
