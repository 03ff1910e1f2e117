"""Load balancing: the choice of a server for each call, and what is known of the servers."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from camserve.clients.wire.attempts import pause
from camserve.clients.wire.health_checks import Health

__all__ = ["MISSES", "Endpoints"]

MISSES = 2
"""Number of timed-out health checks in a row after which the calls to a server are ended."""


@dataclass
class _Endpoint:
    url: str
    calls: int = 0
    last_used: int = 0
    failures: int = 0
    misses: int = 0
    ready: bool = True
    paused_until: float | None = None

    @property
    def is_up(self) -> bool:
        return self.paused_until is None


class Endpoints:
    """The state of each server. May be used from several threads; does not read a clock.

    Args:
        urls: The servers, at least one.
        random_number: Returns a number from 0 to 1.
    """

    def __init__(self, urls: Sequence[str], random_number: Callable[[], float] = random.random) -> None:
        self._endpoints = {url: _Endpoint(url) for url in urls}
        self._random_number = random_number
        self._lock = threading.Lock()
        self._used = 0

    def take(self, urls: Sequence[str], avoid: Collection[str] = ()) -> str:
        """Choose the server for the next call, which counts as pending until `release`.

        Among the servers that are up, one with the fewest pending calls is chosen, and among those the least recently
        used. A server to avoid, or one that is down, is chosen only if there is no other.
        """
        with self._lock:
            best = self._best(urls, avoid)
            self._used += 1
            best.calls += 1
            best.last_used = self._used
            return best.url

    def _best(self, urls: Sequence[str], avoid: Collection[str]) -> _Endpoint:
        if len(urls) == 1:
            return self._endpoints[urls[0]]
        choice = [self._endpoints[url] for url in urls]
        return min(choice, key=lambda each: (each.url in avoid, not each.is_up, each.calls, each.last_used))

    def release(self, url: str) -> None:
        """End a call that `take` started."""
        with self._lock:
            self._endpoints[url].calls -= 1

    def record_reply(self, url: str) -> None:
        """Record that a server has replied: it is up, unless its health check reports that it is not ready."""
        endpoint = self._endpoints[url]
        if not endpoint.ready:
            return
        if endpoint.failures or endpoint.misses or not endpoint.is_up:
            with self._lock:
                endpoint.failures = endpoint.misses = 0
                endpoint.paused_until = None

    def record_failure(self, url: str, now: float) -> None:
        """Record that a server has lost a call: it is down until a health check or a call succeeds.

        Calls that were lost together count as one failure. The pause between health checks grows with each failure.
        """
        with self._lock:
            self._pause(self._endpoints[url], now)

    def due(self, now: float) -> tuple[str, ...]:
        """Return the servers whose health is to be checked: all but the paused ones."""
        with self._lock:
            return tuple(e.url for e in self._endpoints.values() if e.paused_until is None or e.paused_until <= now)

    def record_check(self, url: str, health: Health, now: float) -> bool:
        """Record a health check.

        Returns:
            Whether to reset the channel to the server: it hangs with pending calls, and another server is up.
        """
        with self._lock:
            endpoint = self._endpoints[url]
            endpoint.misses = endpoint.misses + 1 if health is Health.TIMED_OUT else 0
            endpoint.ready = health is not Health.NOT_READY
            if health is Health.READY:
                endpoint.paused_until = None
                return False
            self._pause(endpoint, now, again=True)
            others = any(each.is_up for each in self._endpoints.values())
            return endpoint.misses >= MISSES and endpoint.calls > 0 and others

    def _pause(self, endpoint: _Endpoint, now: float, *, again: bool = False) -> None:
        if endpoint.is_up or again:
            endpoint.failures += 1
            endpoint.paused_until = now + pause(endpoint.failures, self._random_number)
