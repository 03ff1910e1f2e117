"""What becomes of the calls of a soak, and a gate at which its workers pause."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

__all__ = ["Counts", "Gate", "lost"]

_EXAMPLES = 30
_POLL_SECONDS = 0.05


class Counts:
    """Counters by kind of use and outcome, with examples of what went wrong.

    A call ends as `correct`, `wrong` or, where it was meant to end without an answer, `ended`. The remaining `calls`
    are lost: they raised another error, or did not return.
    """

    OUTCOMES = ("calls", "correct", "ended", "wrong")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counter: Counter[tuple[str, str]] = Counter()
        self._slowest: dict[str, float] = {}
        self._examples: list[str] = []

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

    def note(self, use: str, what: str) -> None:
        """Keep an example of what went wrong."""
        with self._lock:
            self._examples = [*self._examples, f"{time.strftime('%H:%M:%S')} {use}: {what[:600]}"][-_EXAMPLES:]

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
                "examples": list(self._examples),
            }


def lost(counted: Mapping[str, int]) -> int:
    """Return how many calls of a kind had no outcome."""
    return counted["calls"] - counted["correct"] - counted["ended"] - counted["wrong"]


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
