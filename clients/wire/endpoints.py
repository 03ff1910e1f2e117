"""The choice among several servers: the least busy of those that are up."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from camserve.clients.wire.attempts import pause
from camserve.clients.wire.health_checks import Health

__all__ = ["MISSES", "Endpoints"]

MISSES = 2
"""Health checks in a row without an answer after which the calls under way at a server are ended."""


@dataclass
class _Endpoint:
    url: str
    calls: int = 0
    taken: int = 0
    failures: int = 0
    misses: int = 0
    serves: bool = True
    paused_until: float | None = None

    @property
    def is_up(self) -> bool:
        return self.paused_until is None


class Endpoints:
    """What is known of each server. May be used from several threads; does not look at a clock.

    Args:
        urls: The servers, at least one.
        chance: Gives a number from 0 to 1.
    """

    def __init__(self, urls: Sequence[str], chance: Callable[[], float] = random.random) -> None:
        self._endpoints = {url: _Endpoint(url) for url in urls}
        self._chance = chance
        self._lock = threading.Lock()
        self._taken = 0

    def take(self, urls: Sequence[str], avoid: Collection[str] = ()) -> str:
        """The one of these servers for the next call, which counts as under way until `ended`.

        Of the servers that are up, one with the fewest calls under way, and of those the one whose turn is longest
        ago. One that is to be avoided, then one that is down, is better than none.
        """
        with self._lock:
            best = self._best(urls, avoid)
            self._taken += 1
            best.calls += 1
            best.taken = self._taken
            return best.url

    def _best(self, urls: Sequence[str], avoid: Collection[str]) -> _Endpoint:
        if len(urls) == 1:
            return self._endpoints[urls[0]]
        choice = [self._endpoints[url] for url in urls]
        return min(choice, key=lambda each: (each.url in avoid, not each.is_up, each.calls, each.taken))

    def ended(self, url: str) -> None:
        """A call that was taken is no longer under way."""
        with self._lock:
            self._endpoints[url].calls -= 1

    def answered(self, url: str) -> None:
        """A server has answered a call, so it is up, unless it says itself that it is not ready for more."""
        endpoint = self._endpoints[url]
        if not endpoint.serves:
            return
        if endpoint.failures or endpoint.misses or not endpoint.is_up:
            with self._lock:
                endpoint.failures = endpoint.misses = 0
                endpoint.paused_until = None

    def failed(self, url: str, now: float) -> None:
        """A server has lost a call: it is left alone for a while, longer each time, until a health check finds it up.

        Calls that were lost together count as one failure.
        """
        with self._lock:
            self._pause(self._endpoints[url], now)

    def due(self, now: float) -> tuple[str, ...]:
        """The servers whose health is to be checked: all but those that are left alone."""
        with self._lock:
            return tuple(e.url for e in self._endpoints.values() if e.paused_until is None or e.paused_until <= now)

    def checked(self, url: str, health: Health, now: float) -> bool:
        """Notes a health check.

        Returns:
            Whether to reset its channel: it hangs with calls under way, and another server is up.
        """
        with self._lock:
            endpoint = self._endpoints[url]
            endpoint.misses = endpoint.misses + 1 if health is Health.SILENT else 0
            endpoint.serves = health is not Health.NOT_SERVING
            if health is Health.SERVING:
                endpoint.paused_until = None
                return False
            self._pause(endpoint, now, again=True)
            others = any(each.is_up for each in self._endpoints.values())
            return endpoint.misses >= MISSES and endpoint.calls > 0 and others

    def _pause(self, endpoint: _Endpoint, now: float, *, again: bool = False) -> None:
        if endpoint.is_up or again:
            endpoint.failures += 1
            endpoint.paused_until = now + pause(endpoint.failures, self._chance)
