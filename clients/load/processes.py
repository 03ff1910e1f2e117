"""The sending processes, as the measuring process sees them."""

from __future__ import annotations

import io
import pickle
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Any, cast

from camserve.clients.load.messages import END, Begin, Counts, SenderSetup
from camserve.clients.scoring.workers.messages import read_frame, write_frame
from camserve.clients.threads import starting_threads
from camserve.errors import ClientError

__all__ = ["Senders"]

_PROGRAM = "import sys; sys.path[:] = {path!r}; from camserve.clients.load.sender import main; main()"
_START_SECONDS = 60.0
_GRACE_SECONDS = 15.0
_END_SECONDS = 2.0


class Senders:
    """Processes that send requests, as a context manager.

    They are programs of their own: `multiprocessing` would run the user's program again in each.

    Args:
        setup: What they send.
        count: Their number.

    Raises:
        ClientError: If one cannot be started.
    """

    def __init__(self, setup: SenderSetup, count: int) -> None:
        self._senders: list[_SenderProcess] = []
        self._drain_seconds = setup.connection.timeout
        try:
            for _ in range(count):
                self._senders.append(_SenderProcess(setup))
            for sender in self._senders:
                sender.receive(_START_SECONDS)
        except BaseException:
            self.close()
            raise

    def begin(self, loads: Sequence[Begin]) -> None:
        """Begin a load; each process gets its part."""
        for sender, load in zip(self._senders, loads, strict=True):
            sender.send(load)

    def counts(self, seconds: float) -> list[Counts]:
        """Wait, for about so many seconds, for the counts of the next window of every process, and return them."""
        return [cast("Counts", sender.receive(seconds + _GRACE_SECONDS)) for sender in self._senders]

    def end(self) -> None:
        """End a load, and wait for the requests in flight, which are not counted."""
        for sender in self._senders:
            sender.send(END)
        for sender in self._senders:
            while sender.receive(self._drain_seconds + _GRACE_SECONDS) != END:
                pass

    def close(self) -> None:
        """End the processes."""
        for sender in self._senders:
            sender.close()

    def __enter__(self) -> Senders:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _SenderProcess:
    """One process.

    Args:
        setup: What it sends.
    """

    def __init__(self, setup: SenderSetup) -> None:
        command = [sys.executable, "-c", _PROGRAM.format(path=sys.path)]
        try:
            self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
        except OSError as error:
            raise ClientError(
                f"a process that sends requests cannot be started: {error.strerror}",
                hint="Lower the number of processes: --processes N",
            ) from None
        self._received: SimpleQueue[Any] = SimpleQueue()
        with starting_threads():
            threading.Thread(target=self._read, name="camserve-load", daemon=True).start()
        self.send(setup)

    def send(self, message: object) -> None:
        """Send a message; if the process has ended, `receive` reports it."""
        with suppress(OSError):
            write_frame(cast("Any", self._process.stdin), pickle.dumps(message, pickle.HIGHEST_PROTOCOL))

    def receive(self, seconds: float) -> object:
        """Return the next message.

        Raises:
            ClientError: If the process has ended, or sends none in time.
        """
        try:
            message = self._received.get(timeout=seconds)
        except Empty:
            raise self._failed(f"was silent for {seconds:.0f} s") from None
        if isinstance(message, _Ended):
            raise self._failed(f"ended with exit code {self._process.wait()}")
        return cast("object", message)

    def close(self) -> None:
        """End the process."""
        with suppress(OSError):
            cast("Any", self._process.stdin).close()
        try:
            self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _read(self) -> None:
        with io.BufferedReader(cast("Any", self._process.stdout)) as stream:
            while (data := read_frame(stream)) is not None:
                self._received.put(pickle.loads(data))  # noqa: S301  (of a process that this one started)
        self._received.put(_Ended())

    def _failed(self, how: str) -> ClientError:
        return ClientError(
            f"a process that sends requests {how}",
            hint="Check the memory of this host, or lower --concurrency and --processes",
        )


class _Ended:
    """The last message of a process."""
