"""What becomes of the calls of a soak, and a gate at which its workers pause."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from camserve.errors import ConnectionFailedError

__all__ = ["Counts", "Gate", "lost"]

_EXAMPLES = 20
_EXAMPLE_LENGTH = 400
_POLL_SECONDS = 0.05


class Counts:
    """Counters by kind of use and outcome, with examples of what went wrong.

    A call ends as `correct`, `wrong`, `ended`, where it was meant to end without an answer, or `refused`, where a new
    client found no server. The remaining `calls` are lost: they raised another error, or did not return.
    """

    OUTCOMES = ("calls", "correct", "ended", "refused", "wrong")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counter: Counter[tuple[str, str]] = Counter()
        self._slowest: dict[str, float] = {}
        self._refusals: list[tuple[float, float]] = []
        self._examples: dict[tuple[str, str], tuple[str, int]] = {}

    def add(self, use: str, outcome: str, number: int = 1) -> None:
        """Count calls or their outcome."""
        with self._lock:
            self._counter[use, outcome] += number

    def answered(self, use: str, problem: str | None) -> None:
        """Count an answer, which is correct if there is no problem with it."""
        self.add(use, "correct" if problem is None else "wrong")
        if problem is not None:
            self.note(use, problem)

    def failed(self, use: str, error: BaseException) -> None:
        """Note an error that should not have been raised; its call counts as lost."""
        self.note(use, f"{type(error).__name__}: {error}")

    def refused(self, use: str, since: float, number: int = 1) -> None:
        """Count calls of a client that found no server between a time, by the monotonic clock, and now."""
        self.add(use, "refused", number)
        with self._lock:
            self._refusals.append((since, time.monotonic()))

    def not_connected(self, use: str, error: BaseException) -> None:
        """Count a call whose new client could not connect."""
        self.add(use, "calls")
        if isinstance(error, ConnectionFailedError):
            self.refused(use, time.monotonic())
        else:
            self.failed(use, error)

    def note(self, use: str, what: str) -> None:
        """Keep an example of what went wrong, and how often it did."""
        what = " ".join(what.split())[:_EXAMPLE_LENGTH]
        with self._lock:
            first, number = self._examples.get((use, what), (time.strftime("%H:%M:%S"), 0))
            if number or len(self._examples) < _EXAMPLES:
                self._examples[use, what] = (first, number + 1)

    @contextmanager
    def timed(self, use: str) -> Iterator[None]:
        """Measure a call that should be answered, and keep the longest time."""
        start = time.monotonic()
        try:
            yield
        finally:
            with self._lock:
                self._slowest[use] = max(self._slowest.get(use, 0.0), time.monotonic() - start)

    def document(self) -> dict[str, Any]:
        """Return the counters as plain data."""
        with self._lock:
            uses = dict.fromkeys(use for use, _ in self._counter)
            return {
                "uses": {use: {name: self._counter[use, name] for name in self.OUTCOMES} for use in uses},
                "slowest": dict(self._slowest),
                "refusals": list(self._refusals),
                "examples": [
                    f"{use}: {what} ({number} times, first at {first})"
                    for (use, what), (first, number) in self._examples.items()
                ],
            }


def lost(counted: Mapping[str, int]) -> int:
    """Return how many calls of a kind had no outcome."""
    return counted["calls"] - sum(counted[outcome] for outcome in Counts.OUTCOMES[1:])


class Gate:
    """Lets workers through, one round at a time, until it is closed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open = True
        self._inside = 0
        self.ended = threading.Event()

    def try_enter(self) -> bool:
        """Begin a round, unless the gate is closed."""
        with self._lock:
            self._inside += self._open
            return self._open

    def leave(self) -> None:
        """End a round."""
        with self._lock:
            self._inside -= 1

    def open(self) -> None:
        """Let workers through again."""
        with self._lock:
            self._open = True

    def close(self, seconds: float = 90.0) -> int:
        """Close the gate, wait until nobody is inside, and return how many still are after so many seconds."""
        with self._lock:
            self._open = False
        deadline = time.monotonic() + seconds
        while self._inside and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
        return self._inside

    def end(self) -> int:
        """Close the gate for ever and return how many are still inside."""
        self.ended.set()
        return self.close()

    def rounds(self, pause: float) -> Iterator[None]:
        """Yield for each round of a worker, with a pause in seconds between two, until the end."""
        while not self.ended.wait(pause):
            if self.try_enter():
                try:
                    yield
                finally:
                    self.leave()
