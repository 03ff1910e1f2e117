"""Measuring candidates: one reading after the other, within the time that is left."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from camserve.errors import CamserveError
from camserve.tune.choices import Candidate, Choices
from camserve.tune.contender import Arm, Contender
from camserve.tune.readings import Reading

__all__ = ["Bench", "OutOfTimeError", "Rounds", "TuneProgress"]

_GROWTH = 1.03
"""Ratio of images per second from which on a higher concurrency is worth another step."""

_START, _START_WITH_LIMIT = 8, 4
_ANSWERS, _SHORTEST, _LONGEST = 50, 1.0, 4.0


class Bench(Protocol):
    """Where candidates are measured."""

    def read(self, candidate: Candidate, concurrency: int, seconds: float) -> Reading:
        """Measure a candidate.

        Raises:
            CamserveError: If it cannot be served, or does not answer correctly.
        """

    def left(self) -> float:
        """Return the seconds that are left."""


class OutOfTimeError(Exception):
    """No time is left for a further reading."""


@dataclass(frozen=True)
class TuneProgress:
    """A reading that has ended.

    Attributes:
        stage: What is chosen.
        candidate: What was measured.
        concurrency: Requests in flight.
        reading: What it reached.
        competing: Number of candidates that are still compared.
        best: Images per second of the fastest candidate within the limit so far; 0 before there is one.
        left: Seconds that are left.
    """

    stage: str
    candidate: Candidate
    concurrency: int
    reading: Reading
    competing: int
    best: float
    left: float


class Rounds:
    """Measures contenders in rounds.

    Args:
        bench: Where to measure.
        choices: What may be chosen.
        limit: Limit of the p99 in milliseconds, or None.
        concurrency: Requests in flight; None to find out how many each candidate needs.
        report: Called with each reading.
    """

    def __init__(
        self,
        bench: Bench,
        choices: Choices,
        limit: float | None,
        concurrency: int | None,
        report: Callable[[TuneProgress], None],
    ) -> None:
        self.choices, self.limit = choices, limit
        self.levels = choices.concurrencies if concurrency is None else (concurrency,)
        self.contenders: dict[Candidate, Contender] = {}
        self.number = 0
        self.reserve = 0.0
        self.stage, self.competing = "", 0
        self._bench, self._report = bench, report
        self._start = min(self.levels, key=lambda level: abs(level - (_START if limit is None else _START_WITH_LIMIT)))

    def contender(self, candidate: Candidate) -> Contender:
        """Return the contender of a candidate, with the readings of earlier stages."""
        return self.contenders.setdefault(candidate, Contender(candidate))

    def within(self, arm: Arm) -> bool:
        """Return whether an arm has readings, and these are within the limit."""
        return bool(arm.rounds) and (self.limit is None or arm.p99_ms() <= self.limit)

    def best(self) -> Arm | None:
        """Return the fastest of all arms within the limit."""
        return max(filter(self.within, self.arms()), key=lambda arm: arm.rate, default=None)

    def arms(self) -> list[Arm]:
        """Return every arm that was measured, of candidates that were not dropped."""
        return [Arm(each, level) for each in self.contenders.values() if not each.dropped for level in each.levels]

    def measure(self, contender: Contender) -> None:
        """Measure a contender in this round: at its concurrency, or, for the first time, at those it may need."""
        try:
            if contender.concurrency is None:
                self._climb(contender)
            else:
                self.read(contender.arm)
        except CamserveError as error:
            contender.dropped = f"failed: {error}"
            return
        below = [level for level in contender.levels if level < contender.arm.concurrency]
        if not self.within(contender.arm) and below:
            contender.concurrency = max(below)

    def read(self, arm: Arm, seconds: float | None = None) -> None:
        """Measure an arm once in this round.

        Raises:
            OutOfTimeError: If no time is left.
            CamserveError: As for `Bench.read`.
        """
        left = self._bench.left()
        if left <= self.reserve:
            raise OutOfTimeError
        if seconds is None:
            best = self.best()
            rate = best.rate if best else 0.0
            seconds = min(_LONGEST, max(_SHORTEST, _ANSWERS / rate)) if rate else _SHORTEST
        reading = self._bench.read(arm.contender.candidate, arm.concurrency, seconds)
        arm.contender.levels.setdefault(arm.concurrency, {})[self.number] = reading
        best = self.best()
        self._report(
            TuneProgress(
                self.stage,
                arm.contender.candidate,
                arm.concurrency,
                reading,
                self.competing,
                0.0 if best is None else best.rate,
                self._bench.left(),
            )
        )

    def start_at(self, concurrency: int) -> None:
        """Measure further candidates from this concurrency on."""
        self._start = concurrency

    def _climb(self, contender: Contender) -> None:
        """Find the concurrency with the most images per second within the limit, from that of the best so far."""
        place = self.levels.index(self._start)
        self._try(contender, place)
        if self.within(Arm(contender, self.levels[place])):
            while place + 1 < len(self.levels) and self._try(contender, place + 1) and self._grows(contender, place):
                place += 1
        else:
            while place > 0 and not self._try(contender, place - 1):
                place -= 1
        arms = [Arm(contender, level) for level in contender.levels]
        fitting = [arm for arm in arms if self.within(arm)]
        fastest = max(fitting, key=lambda arm: arm.rate, default=None)
        contender.concurrency = self.levels[0] if fastest is None else fastest.concurrency

    def _try(self, contender: Contender, place: int) -> bool:
        """Measure one concurrency and return whether it is within the limit."""
        arm = Arm(contender, self.levels[place])
        self.read(arm)
        return self.within(arm)

    def _grows(self, contender: Contender, place: int) -> bool:
        lower, higher = (Arm(contender, level).rate for level in self.levels[place : place + 2])
        return higher > _GROWTH * lower
