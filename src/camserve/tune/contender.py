"""A candidate in the search: what was measured of it, and where it stands."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from camserve.tune.choices import Candidate
from camserve.tune.readings import Reading, expected_p99, mean_rate

__all__ = ["Arm", "Contender"]


@dataclass
class Contender:
    """A candidate with its readings.

    Attributes:
        candidate: The candidate.
        levels: Its readings by concurrency and round.
        concurrency: The concurrency at which it is compared; None before its first reading.
        dropped: Why it is not measured any more; None if it may be.
    """

    candidate: Candidate
    levels: dict[int, dict[int, Reading]] = field(default_factory=dict)
    concurrency: int | None = None
    dropped: str | None = None

    @property
    def arm(self) -> Arm:
        """The candidate at its concurrency."""
        if self.concurrency is None:
            raise ValueError("a contender has a concurrency after its first reading")
        return Arm(self, self.concurrency)


@dataclass(frozen=True, eq=False)
class Arm:
    """A candidate at one concurrency.

    Attributes:
        contender: The candidate with its readings.
        concurrency: Requests in flight.
        since: First round whose readings count.
    """

    contender: Contender
    concurrency: int
    since: int = 0

    @property
    def rounds(self) -> Mapping[int, Reading]:
        """The readings by round."""
        readings = self.contender.levels.get(self.concurrency, {})
        return {number: reading for number, reading in readings.items() if number >= self.since}

    @property
    def readings(self) -> Sequence[Reading]:
        """The readings."""
        return list(self.rounds.values())

    @property
    def rate(self) -> float:
        """Mean of images per second; 0 without a reading."""
        return mean_rate(self.readings) if self.rounds else 0.0

    def p99_ms(self, *, certain: bool = False) -> float:
        """Return the p99 to expect of a further reading, in milliseconds; infinite without a reading."""
        return expected_p99(self.readings, certain=certain) if self.rounds else math.inf
