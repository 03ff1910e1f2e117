"""A process that sends requests: closed loop from the callbacks of answers, open loop by a schedule."""

from __future__ import annotations

import heapq
import io
import os
import pickle
import random
import re
import signal
import sys
import threading
import time
from collections.abc import Iterator
from itertools import cycle
from typing import Any

import grpc

from camserve.clients.load.messages import END, Begin, Counts, SenderSetup
from camserve.clients.scoring.workers.messages import IGNORED_SIGNALS, read_frame, write_frame
from camserve.clients.wire.channel_settings import SERVICE, dialler
from camserve.clients.wire.failures import CallFailed

__all__ = ["PAUSE_AFTER_ERROR", "Sender", "main"]

PAUSE_AFTER_ERROR = 0.01
"""Seconds after which a closed loop replaces a request that failed: a refusal takes no time."""

_LATE = 0.01
_DRAIN_PAUSE = 0.005
_CALLS_PER_CHANNEL = 8
_MOST_CHANNELS = 8
_MOST_IN_FLIGHT = 4_096
_SIZE_DIFFERENCE = 32
"""Bytes by which correct answers may differ: that of the name of a version."""

_REQUEST_ID = re.compile(r"\[request id: [^\]]*\] ")
_MOST_REASONS = 20
_OTHER = "other reasons"


class Sender:
    """Sends requests and counts their answers, one load after the other.

    Args:
        setup: What to send, and where.
    """

    def __init__(self, setup: SenderSetup) -> None:
        self._setup = setup
        dial = dialler(setup.connection, grpc.insecure_channel, grpc.secure_channel)
        self._channels = [dial(setup.url)]
        self._dial = dial
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._messages = cycle(setup.requests)
        self._calls: Iterator[Any] = iter(())
        self._running = False

    def begin(self, load: Begin) -> None:
        """Prepare a load; `run` sends it."""
        wanted = min(_MOST_CHANNELS, -(-load.concurrency // _CALLS_PER_CHANNEL)) if load.concurrency else _MOST_CHANNELS
        while len(self._channels) < wanted:
            self._channels.append(self._dial(self._setup.url))
        self._calls = cycle([each.unary_unary(f"{SERVICE}ModelInfer") for each in self._channels])
        with self._lock:
            self._load = load
            self._windows: dict[int, Counts] = {}
            self._in_flight: dict[object, float] = {}
            self._due: list[float] = []
            self._running = True
        self._random = random.Random(load.seed)  # noqa: S311  (not for secrets)
        self._scheduled = load.start + (self._gap() if load.offset is None else load.offset)
        self._next_window = 0
        self._cpu = 0.0

    def end(self) -> None:
        """Send no more."""
        self._running = False
        self._wake.set()

    def drain(self) -> None:
        """Wait for the answers to requests in flight, at most as long as for any answer.

        Triton may crash at the end of a connection on which it is about to answer.
        """
        end = time.perf_counter() + self._setup.connection.timeout
        while self._in_flight and time.perf_counter() < end:
            time.sleep(_DRAIN_PAUSE)

    def run(self) -> Iterator[Counts]:
        """Send the load until `end`, and yield the counts of each window after its end."""
        load = self._load
        if load.concurrency:
            self._due = [load.start] * load.concurrency
        while self._running:
            now = time.perf_counter()
            self._send_due(now)
            border = load.first_window + self._next_window * load.window
            if now >= border:
                counts = self._close_window(now)
                if counts is not None:
                    yield counts
                continue
            self._wake.wait(max(0.0, min(border, self._next_due()) - time.perf_counter()))
            self._wake.clear()

    def _next_due(self) -> float:
        if self._load.rate:
            return self._scheduled if len(self._in_flight) < _MOST_IN_FLIGHT else float("inf")
        with self._lock:
            return self._due[0] if self._due else float("inf")

    def _send_due(self, now: float) -> None:
        """Send what is due."""
        if self._load.rate:
            while self._scheduled <= now and self._running and len(self._in_flight) < _MOST_IN_FLIGHT:
                scheduled = self._scheduled
                self._scheduled += self._gap()
                self._send(scheduled)
                now = time.perf_counter()
            return
        while True:
            with self._lock:
                if not self._due or self._due[0] > now:
                    return
                heapq.heappop(self._due)
            self._send(time.perf_counter())

    def _gap(self) -> float:
        load = self._load
        if not load.rate:
            return 0.0
        return 1 / load.rate if load.offset is not None else self._random.expovariate(load.rate)

    def _close_window(self, now: float) -> Counts | None:
        """Return the counts of the window that has ended; None at the beginning of the first."""
        cpu, before = time.process_time(), self._cpu
        self._cpu = cpu
        number = self._next_window - 1
        self._next_window += 1
        if number < 0:
            return None
        with self._lock:
            counts = self._windows.pop(number, None) or Counts()
            started = list(self._in_flight.values())
        counts.cpu = cpu - before
        counts.in_flight = len(started)
        counts.oldest = now - min(started, default=now)
        return counts

    def _send(self, started: float) -> None:
        """Send a request whose latency counts from `started`."""
        load, token = self._load, object()
        late = bool(load.rate) and time.perf_counter() - started > _LATE
        with self._lock:
            self._in_flight[token] = started
            message, call = next(self._messages), next(self._calls)

        def ended(future: Any) -> None:
            now = time.perf_counter()
            problem = self._problem(future)
            again = self._record(token, now, now - started, problem, late=late)
            if again and problem is None:
                self._send(time.perf_counter())

        call.future(message, metadata=self._setup.connection.metadata).add_done_callback(ended)

    def _record(self, token: object, now: float, seconds: float, problem: str | None, *, late: bool) -> bool:
        """Count a request that has ended, and return whether its place is to be filled."""
        load = self._load
        with self._lock:
            if self._in_flight.pop(token, None) is None:
                return False  # of the load before
            number = max(int((now - load.first_window) // load.window), self._next_window - 1)
            if number >= 0:
                counts = self._windows.setdefault(number, Counts())
                counts.late += late
                if problem is None:
                    counts.latencies.add(seconds)
                else:
                    known = problem in counts.errors or len(counts.errors) < _MOST_REASONS
                    counts.errors[problem if known else _OTHER] += 1
            full = len(self._in_flight) == _MOST_IN_FLIGHT - 1
            if problem is not None and load.concurrency:
                heapq.heappush(self._due, now + PAUSE_AFTER_ERROR)
        if problem is not None or full:
            self._wake.set()
        return self._running and bool(load.concurrency)

    def _problem(self, future: Any) -> str | None:
        """Return why a request failed; None if it was answered."""
        error = future.exception()
        if error is not None:
            failed = CallFailed(error.code().name, error.details() or "", self._setup.connection.metadata)
            return f"{_REQUEST_ID.sub('', failed.why)} ({failed.status})"
        size = len(future.result())
        if abs(size - self._setup.answer_bytes) > _SIZE_DIFFERENCE:
            return f"the answer has {size:,} bytes instead of {self._setup.answer_bytes:,}"
        return None


def main() -> None:
    """Run the process: its messages come over standard input, and its counts leave over standard output."""
    for number in IGNORED_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, IGNORED_SIGNALS)
    incoming, outgoing = sys.stdin.buffer, io.FileIO(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print
    setup: SenderSetup = pickle.loads(read_frame(incoming) or b"")  # noqa: S301  (of the process that started this one)
    sender = Sender(setup)
    _put(outgoing, None)
    while (data := read_frame(incoming)) is not None:
        load = pickle.loads(data)  # noqa: S301
        if load == END:
            continue
        sender.begin(load)
        ender = threading.Thread(target=_end_on_message, args=(incoming, sender), daemon=True)
        ender.start()
        for counts in sender.run():
            _put(outgoing, counts)
        ender.join()
        sender.drain()
        _put(outgoing, END)
    os._exit(0)  # requests may be in flight at a server that hangs


def _end_on_message(incoming: Any, sender: Sender) -> None:
    if read_frame(incoming) is None:  # the measuring process has ended
        os._exit(0)
    sender.end()


def _put(stream: Any, value: object) -> None:
    write_frame(stream, pickle.dumps(value, pickle.HIGHEST_PROTOCOL))
