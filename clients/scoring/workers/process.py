"""A worker process, as its coordinator sees it."""

from __future__ import annotations

import io
import pickle
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from queue import SimpleQueue
from typing import Any, NamedTuple, cast

from camserve.clients.scoring.workers.messages import IGNORED_SIGNALS, Setup, read_frame, write_frame
from camserve.clients.threads import starting_threads
from camserve.errors import ClientError

__all__ = ["Event", "WorkerProcess"]

_PROGRAM = "import sys; sys.path[:] = {path!r}; from camserve.clients.scoring.workers.worker import main; main()"


class Event(NamedTuple):
    """A message of a worker.

    Attributes:
        worker: The worker.
        message: The message; None if the worker has ended.
    """

    worker: WorkerProcess
    message: Any


class WorkerProcess:
    """A worker process.

    It is started as a program of its own: `multiprocessing` would run the user's program again in each worker.

    Args:
        setup: What it does.
        events: Receives its messages.

    Attributes:
        chunks: Numbers of the chunks that it has received and not answered.
        repeated: Numbers of the chunks of a worker that has ended, which this one receives one after the other; the
            first one is in progress.

    Raises:
        ClientError: If it cannot be started.
    """

    def __init__(self, setup: Setup, events: SimpleQueue[Event]) -> None:
        self.chunks: set[int] = set()
        self.repeated: deque[int] = deque()
        command = [sys.executable, "-c", _PROGRAM.format(path=sys.path)]
        try:
            with _signals_blocked():  # until the worker ignores them
                self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
        except OSError as error:
            raise ClientError(
                f"a worker process cannot be started: {error.strerror}", hint="Lower the number of workers: --workers N"
            ) from None
        self._events = events
        with starting_threads():  # without one, the process ends with this object, whose pipe closes
            threading.Thread(target=self._receive, name="camserve-worker", daemon=True).start()
        self._write(pickle.dumps(setup, pickle.HIGHEST_PROTOCOL))

    @property
    def pid(self) -> int:
        """The process ID."""
        return self._process.pid

    def send(self, number: int, frame: bytes) -> None:
        """Send a chunk. If the worker has ended, its event tells."""
        self.chunks.add(number)
        self._write(frame)

    def end(self) -> None:
        """Let the process end: it stops its work."""
        with suppress(OSError):
            cast("Any", self._process.stdin).close()

    def wait(self, seconds: float) -> None:
        """Wait until the process has ended; kill it after so many seconds."""
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def how_it_ended(self) -> str:
        """Return how the process ended, such as `was killed by SIGKILL`."""
        code = self._process.wait()
        if code >= 0:
            return f"ended with exit code {code}"
        try:
            return f"was killed by {signal.Signals(-code).name}"
        except ValueError:
            return f"was killed by signal {-code}"

    def _write(self, frame: bytes) -> None:
        with suppress(OSError):
            write_frame(cast("Any", self._process.stdin), frame)

    def _receive(self) -> None:
        """Pass the messages on, until the worker ends."""
        with io.BufferedReader(cast("Any", self._process.stdout)) as stream:
            while (data := read_frame(stream)) is not None:
                self._events.put(Event(self, pickle.loads(data)))  # noqa: S301  (of a process that this one started)
        self._events.put(Event(self, None))


@contextmanager
def _signals_blocked() -> Iterator[None]:
    """Block the signals that a worker ignores; a process that is started in the block begins with them blocked."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, IGNORED_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
