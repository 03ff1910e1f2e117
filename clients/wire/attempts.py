"""When and where a call is tried again: never past its deadline, never in step with other clients."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Sequence

from camserve.clients.wire.failures import RetryScope

__all__ = ["Attempts", "pause"]

_FIRST_WAIT = 0.25
_LONGEST_WAIT = 4.0
_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 10.0
_MOST_DOUBLINGS = 16


class Attempts:
    """The tries of one call.

    Args:
        urls: The servers that may be asked.
        retries: How many further tries there may be.
        patient: Whether to come back to a server that has failed; without, each is asked once.
        chance: Gives a number from 0 to 1.

    Attributes:
        count: Tries so far that have failed.
    """

    def __init__(
        self, urls: Sequence[str], retries: int, *, patient: bool, chance: Callable[[], float] = random.random
    ) -> None:
        self.count = 0
        self._urls = urls
        self._retries = retries
        self._patient = patient
        self._chance = chance
        self._tried: set[str] = set()
        self._hopeless: set[str] = set()

    @property
    def avoid(self) -> Collection[str]:
        """Servers that have just failed, or to which it is no use to come back."""
        return self._tried | self._hopeless if self.count else ()

    def failed(self, url: str, again: RetryScope, remaining: float) -> float | None:
        """Notes a failure at a server.

        Args:
            url: The server.
            again: Where the call may be tried again.
            remaining: Seconds until its deadline.

        Returns:
            Seconds until the next try: none where another server has not been asked yet, else full jitter, which is
            anything from nothing to a bound that doubles, so that clients which lost the same server do not come back
            to it all at once (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/). None gives
            up.
        """
        self.count += 1
        (self._tried if again is RetryScope.ANYWHERE else self._hopeless).add(url)
        left = [each for each in self._urls if each not in self._hopeless]
        if again is RetryScope.NOWHERE or self.count > self._retries or not left or remaining <= 0:
            return None
        if not self._tried.issuperset(left):
            return 0.0
        self._tried.clear()
        wait = self._chance() * _doubled(_FIRST_WAIT, self.count - 1, _LONGEST_WAIT)
        return wait if self._patient and wait < remaining else None


def pause(failures: int, chance: Callable[[], float] = random.random) -> float:
    """Seconds for which a server is left alone after that many failures in a row, from 1 on; half of it is chance."""
    return _doubled(_FIRST_PAUSE, failures - 1, _LONGEST_PAUSE) * (0.5 + 0.5 * chance())


def _doubled(first: float, times: int, longest: float) -> float:
    return min(longest, first * 2.0 ** min(times, _MOST_DOUBLINGS))
