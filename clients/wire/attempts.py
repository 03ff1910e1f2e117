"""Retry policy: when and where a request is sent again, within its deadline and not in step with other clients.

Source: full jitter, https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Sequence

from camserve.clients.wire.connection_options import MOST_RETRIES
from camserve.clients.wire.failures import RetryScope

__all__ = ["Attempts", "pause"]

_FIRST_WAIT = 0.25
_LONGEST_WAIT = 4.0
_LONGEST_WAIT_FOR_SERVER = 2.0
_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 10.0
_MOST_DOUBLINGS = 16


class Attempts:
    """The attempts of one request.

    Args:
        urls: The servers that may receive the request.
        retries: Maximum number of further attempts. None for 5, without those that found no server at the address: a
            server that restarts is waited for until the deadline.
        patient: Whether to return to a server that has failed; without, each receives the request once.
        random_number: Returns a number from 0 to 1.

    Attributes:
        count: Number of attempts that have failed.
    """

    def __init__(
        self,
        urls: Sequence[str],
        retries: int | None,
        *,
        patient: bool,
        random_number: Callable[[], float] = random.random,
    ) -> None:
        self.count = 0
        self._urls = urls
        self._left = MOST_RETRIES if retries is None else retries
        self._bridges_restarts = retries is None
        self._patient = patient
        self._random_number = random_number
        self._failed: set[str] = set()
        self._excluded: set[str] = set()

    @property
    def avoid(self) -> Collection[str]:
        """Servers that have just failed, or that no retry can help."""
        return self._failed | self._excluded if self.count else ()

    def record_failure(
        self, url: str, scope: RetryScope, remaining: float, *, unreachable: bool = False
    ) -> float | None:
        """Record a failure at a server.

        Args:
            url: The server.
            scope: Where the request may be sent again.
            remaining: Seconds until the deadline.
            unreachable: Whether the request was not sent, for lack of a connection: the server may be restarting.

        Returns:
            Seconds until the next attempt, or None if there is none. 0 if another server has not received the request
            yet, else a random number up to a limit that doubles each time, so that clients that lost the same server do
            not all return to it at once.
        """
        self.count += 1
        bridges = unreachable and self._bridges_restarts
        if not bridges:
            self._left -= 1
        (self._failed if scope is RetryScope.ANYWHERE else self._excluded).add(url)
        left = [each for each in self._urls if each not in self._excluded]
        if scope is RetryScope.NOWHERE or self._left < 0 or not left or remaining <= 0:
            return None
        if not self._failed.issuperset(left):
            return 0.0
        self._failed.clear()
        longest = _LONGEST_WAIT_FOR_SERVER if bridges else _LONGEST_WAIT
        wait = self._random_number() * _doubled(_FIRST_WAIT, self.count - 1, longest)
        return wait if self._patient and wait < remaining else None


def pause(failures: int, random_number: Callable[[], float] = random.random) -> float:
    """Return the seconds without requests for a server after so many failures in a row, at least 1; half is random."""
    return _doubled(_FIRST_PAUSE, failures - 1, _LONGEST_PAUSE) * (0.5 + 0.5 * random_number())


def _doubled(first: float, times: int, longest: float) -> float:
    return min(longest, first * 2.0 ** min(times, _MOST_DOUBLINGS))
