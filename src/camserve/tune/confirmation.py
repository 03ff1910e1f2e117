"""The last stage: longer readings of the best arms, and the proof that the limit holds afterwards."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress

from camserve.errors import CamserveError
from camserve.tune.contender import Arm, Contender
from camserve.tune.readings import is_slower
from camserve.tune.rounds import OutOfTimeError, Rounds

__all__ = ["confirm"]

_STAGE = "confirmation"
_ROUNDS = 6
_SECONDS = 2.0
"""Length of a reading, as of the windows of `camserve load`: the p99 of longer ones varies less."""

_MARGIN = 0.2
"""Share of the limit by which the p99 of an arm that could not be confirmed stays below it, where there is one."""


def confirm(rounds: Rounds, finalists: Sequence[Contender]) -> tuple[Arm | None, bool]:
    """Choose among the best candidates and concurrencies.

    Args:
        rounds: Measures them.
        finalists: The best candidates, the best one first.

    Returns:
        The best arm, None if none is within the limit; and whether it was measured in every round and the upper bound
        of its p99 is within the limit.
    """
    rounds.stage = _STAGE
    since = rounds.number + 1
    arms = [Arm(each, level, since) for each in finalists for level in _neighbors(rounds, each)]
    with suppress(OutOfTimeError):  # the best so far is returned as not confirmed, which the result states
        _race(rounds, arms)
        for arm in _by_rate(rounds, [*arms, *_lower(rounds, finalists, arms, since)]):
            _complete(rounds, arm)
            if arm.rounds and _holds(rounds, arm):
                return arm, True
    best = _likely(rounds, arms)
    return best, best is not None and rounds.limit is None and len(best.rounds) >= _ROUNDS


def _likely(rounds: Rounds, arms: Sequence[Arm]) -> Arm | None:
    """Return the fastest arm that is likely to hold the limit, where the time was not enough to be certain."""
    groups = [list(arms), rounds.arms()]
    likely = [_below(rounds, group, _MARGIN) for group in groups] + [_below(rounds, group, 0.0) for group in groups]
    return max(next(filter(None, likely), []), key=lambda arm: arm.rate, default=None)


def _below(rounds: Rounds, arms: Sequence[Arm], margin: float) -> list[Arm]:
    """Return arms whose p99 is below the limit by a share of it."""
    highest = math.inf if rounds.limit is None else rounds.limit * (1 - margin)
    return [arm for arm in arms if rounds.within(arm) and arm.p99_ms() <= highest]


def _race(rounds: Rounds, arms: Sequence[Arm]) -> None:
    """Measure arms in turn, without those that turn out to be slower or beyond the limit."""
    alive = list(arms)
    for turn in range(_ROUNDS):
        rounds.number += 1
        rounds.competing = len(alive)
        for arm in alive if turn % 2 == 0 else reversed(alive):
            _read(rounds, arm)
        within = [arm for arm in alive if rounds.within(arm) and not arm.contender.dropped]
        if turn > 0 and within:
            best = max(within, key=lambda arm: arm.rate)
            alive = [arm for arm in within if arm is best or not is_slower(arm.rounds, best.rounds, 1.0)]


def _complete(rounds: Rounds, arm: Arm) -> None:
    """Measure an arm in as many rounds as the race has, or until it is beyond the limit."""
    while len(arm.rounds) < _ROUNDS and not arm.contender.dropped and (len(arm.rounds) < 2 or rounds.within(arm)):
        rounds.number += 1
        _read(rounds, arm)


def _holds(rounds: Rounds, arm: Arm) -> bool:
    return len(arm.rounds) >= _ROUNDS and (rounds.limit is None or arm.p99_ms(certain=True) <= rounds.limit)


def _read(rounds: Rounds, arm: Arm) -> None:
    try:
        rounds.read(arm, _SECONDS)
    except CamserveError as error:
        arm.contender.dropped = f"failed: {error}"


def _neighbors(rounds: Rounds, contender: Contender) -> tuple[int, ...]:
    """Return the concurrency of a contender, the next lower and the next higher one."""
    place = rounds.levels.index(contender.arm.concurrency)
    return rounds.levels[max(0, place - 1) : place + 2]


def _lower(rounds: Rounds, finalists: Sequence[Contender], arms: Sequence[Arm], since: int) -> list[Arm]:
    """Return the best candidate at concurrencies that are lower than those of the race."""
    if not finalists:
        return []
    lowest = min(arm.concurrency for arm in arms if arm.contender is finalists[0])
    return [Arm(finalists[0], level, since) for level in reversed(rounds.levels) if level < lowest]


def _by_rate(rounds: Rounds, arms: Sequence[Arm]) -> list[Arm]:
    """Return arms within the limit by their rate, then those that were not measured, in order."""
    within = sorted((arm for arm in arms if rounds.within(arm)), key=lambda arm: -arm.rate)
    return [*within, *(arm for arm in arms if not arm.rounds)]
